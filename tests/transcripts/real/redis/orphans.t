Process 1 takes leave of processes that nobody else waits for.

  $ (usleep 200000 &)
  $ sleep 1
  > grep -l '^State:.Z' /proc/[0-9]*/status
  [1]
