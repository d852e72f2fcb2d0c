More than is compared is counted.

  $ head -c 3000000 /dev/zero | tr '\0' x
  x* (glob)
  \(torpor: 1951424 bytes more, which are not compared\) (re)
