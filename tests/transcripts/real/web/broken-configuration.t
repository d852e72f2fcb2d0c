A configuration that cannot be read is refused, and the old one served.

  $ echo 'nonsense;' >>/etc/nginx/nginx.conf
  $ nginx -e /run/nginx.log -t 2>&1 | sed 's/^.*\[emerg\]/[emerg]/'
  \[emerg\] unknown directive "nonsense" in /etc/nginx/nginx.conf:[0-9]+ (re)
  nginx: configuration file /etc/nginx/nginx.conf test failed
  $ nginx -e /run/nginx.log -s reload 2>/dev/null
  [1]
  % curl -s "localhost:$TORPOR_PORT_80/"
  awake
