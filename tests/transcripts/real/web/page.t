From the host, through the port that is published.

  % curl -s "localhost:$TORPOR_PORT_80/"
  awake
  % curl -s -o /dev/null -w '%{http_code}\n' "localhost:$TORPOR_PORT_80/nothing"
  404
  % curl -sk "https://localhost:$TORPOR_PORT_443/"
  awake
