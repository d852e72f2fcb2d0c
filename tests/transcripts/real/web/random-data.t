timeout: 120

A megabyte that the guest makes arrives as it is.

  $ head -c 1000000 /dev/urandom >/srv/data; sha256sum </srv/data >/srv/sum
  % [ "$(curl -s "localhost:$TORPOR_PORT_80/data" | sha256sum)" = "$(curl -s "localhost:$TORPOR_PORT_80/sum")" ] && echo the same
  the same
