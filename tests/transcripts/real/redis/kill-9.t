timeout: 120

A redis that is killed leaves its last dump, and no zombie.

  $ redis-cli save
  OK
  $ redis-cli set after-the-dump yes
  OK
  $ kill -9 $(pidof redis-server)
  $ usleep 300000; pidof redis-server
  [1]
  $ redis-server /etc/redis.conf >/run/again.log 2>&1 &
  $ until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do usleep 100000; done
  $ redis-cli get key:49999
  value:49999
  $ redis-cli exists after-the-dump
  0
