What the golden knows, and what is told to it.

  $ redis-cli get recorded
  yes
  $ redis-cli get key:0
  value:0
  $ redis-cli get key:49999
  value:49999
  $ redis-cli get no-such-key
  
  $ redis-cli rpush list one two three
  3
  $ redis-cli lrange list 0 -1
  one
  two
  three
  $ redis-cli incr greeting
  1
  $ redis-cli append greeting 1
  2
  $ redis-cli get greeting
  11
  $ redis-cli lpush greeting 1
  WRONGTYPE Operation against a key holding the wrong kind of value
  
