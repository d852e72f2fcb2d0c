The client that was at work when the golden was saved is at work still.

  $ before=$(redis-cli get ticks)
  > sleep 1
  > [ "$(redis-cli get ticks)" -gt "$before" ] && echo more
  more
  $ redis-cli client list | grep -c cmd=incr
  1
