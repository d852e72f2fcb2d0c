Both are reached from the host, and one that stops leaves the other.

  % bash -c 'exec 3<>/dev/tcp/localhost/$TORPOR_PORT_6379; printf "GET recorded\r\n" >&3; read -r -u 3 a; read -r -u 3 b; echo "${b%?}"'
  yes
  $ redis-cli shutdown nosave
  % curl -s "localhost:$TORPOR_PORT_80/"
  awake
  $ redis-cli ping
  Could not connect to Redis at 127.0.0.1:6379: Connection refused
  [1]
