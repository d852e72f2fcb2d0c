timeout: 120

A disk that is full stops who writes, not who reads.

  $ dd if=/dev/zero of=/srv/big bs=1M 2>&1 | grep -o 'No space left on device'
  No space left on device
  $ head -c 2000000 /dev/zero >/srv/more 2>/dev/null
  [1]
  % curl -s "localhost:$TORPOR_PORT_80/"
  awake
  $ rm /srv/big; echo more >/srv/more
  % curl -s "localhost:$TORPOR_PORT_80/more"
  more
