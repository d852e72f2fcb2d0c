timeout: 120

A redis that is stopped in order writes nothing, as its configuration says: what it knew is gone.

  $ pidof redis-server >/dev/null && echo runs
  runs
  $ redis-cli shutdown nosave
  $ pidof redis-server
  [1]
  $ redis-cli ping
  Could not connect to Redis at 127.0.0.1:6379: Connection refused
  [1]
  $ redis-server /etc/redis.conf >/run/again.log 2>&1 &
  $ until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do usleep 100000; done
  $ redis-cli get recorded
  
