What a command in the guest prints, and its status. Standard input is empty.

  $ cat
  $ printf 'a\0b\r\n\377'
  a\x00b\r (esc)
  \xff (esc) (no-eol)
  $ echo out; echo err >&2; exit 42
  out
  err
  [42]
  $ kill -9 $$
  [137]
  $ for word in one two; do
  >     echo "$word"
  > done
  one
  two
  $ echo '$ no command'; echo '[1]'
  \x24 no command (esc)
  \x5b1] (esc)
  $ uname -s; echo "it is $(date +%Y)"
  Linux
  it is 2* (glob)

Words of the host and of the guest meet.

  % echo "$TORPOR_NAME" | sed 's/[0-9].*//'
  test-
