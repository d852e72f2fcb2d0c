A key that expires in an hour is gone when the wall clock says so.

  $ redis-cli set short-lived yes ex 3600
  OK
  $ redis-cli get short-lived
  yes
  $ date -s "@$(($(date +%s) + 3601))" >/dev/null
  $ redis-cli get short-lived
  
  $ redis-cli get recorded
  yes
