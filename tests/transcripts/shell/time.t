timeout: 3
redact: time uuid

A command that takes too long is ended, with what it has started; the next one runs.

  $ sleep 1000 & sleep 1000
  [124]
  $ echo "at 12:34:56, $(cat /proc/sys/kernel/random/uuid)"
  at [TIME], [UUID]
