What one test writes, the next does not see: this file and its twin are the same.

  $ cat /tmp/left 2>/dev/null || echo nothing
  nothing
  $ echo mine >/tmp/left; cat /tmp/left
  mine
