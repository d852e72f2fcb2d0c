A redis that is at its limit refuses what is new, and goes on to answer.

  $ redis-cli config set maxmemory 1mb
  OK
  $ redis-cli set more data
  OOM command not allowed when used memory > 'maxmemory'.
  
  $ redis-cli get key:1
  value:1
  $ redis-cli config set maxmemory 0
  OK
  $ redis-cli set more data
  OK
