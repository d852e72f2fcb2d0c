A configuration that is changed is served behind a reload, without a new master.

  % curl -s -o /dev/null -w '%{http_code}\n' "localhost:$TORPOR_PORT_80/new"
  404
  $ cat /run/nginx.pid >/run/before
  $ sed -i 's|location = /count|location = /new { return 200 "new\\n"; } location = /count|' /etc/nginx/nginx.conf
  $ nginx -e /run/nginx.log -s reload
  $ sleep 1; cmp /run/before /run/nginx.pid && echo the same master
  the same master
  % curl -s "localhost:$TORPOR_PORT_80/new"
  new
