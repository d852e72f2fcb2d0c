A log that was moved away is opened anew on SIGUSR1.

  $ mv /run/nginx.log /run/nginx.log.1; kill -USR1 $(cat /run/nginx.pid)
  $ sleep 1; ls /run/nginx.log*
  /run/nginx.log
  /run/nginx.log.1
