timeout: 120

A dump that does not fit is an error of the dump alone.

  $ mount -o remount,size=$(($(df -k /run | awk 'NR == 2 { print $3 }') + 64))k /run
  $ redis-cli save
  ERR
  
  $ grep -c 'No space left' /run/redis.log
  [1-9] (re)
  $ ls /run/dump.rdb
  ls: /run/dump.rdb: No such file or directory
  [1]
  $ redis-cli get key:49999
  value:49999
  $ mount -o remount,size=64m /run
  $ redis-cli save
  OK
