A worker that is killed is replaced by its master.

  $ master=$(cat /run/nginx.pid)
  > for pid in $(pidof nginx); do [ $pid = $master ] || kill -9 $pid; done
  $ sleep 1; pidof nginx | wc -w
  2
  % curl -s "localhost:$TORPOR_PORT_80/"
  awake

A master that is killed leaves its worker, which serves.

  $ kill -9 $(cat /run/nginx.pid)
  $ sleep 1; pidof nginx | wc -w
  1
  % curl -s "localhost:$TORPOR_PORT_80/"
  awake
