# What is used while it is fetched (wire/): the download's side, with a reader in a machine's place.

READER=$SCRATCH/reader
[ -x "$READER" ] || cp "$BUILD/tests/registry/reader" "$READER"

# Reads SOURCE in the background: `ask LINE` is answered in $answer.
start_reader() { # SOURCE [SILENCE_S]
    rm -f reader.in reader.out
    mkfifo reader.in reader.out
    "$READER" "$XDG_DATA_HOME/torpor/oci" "$@" <reader.in >reader.out 2>reader.err &
    reader=$!
    started="$started $reader"
    trap 'kill $started 2>/dev/null' EXIT
    exec 7>reader.in 8<reader.out
    heard
}

heard() {
    IFS= read -r -t "$PATIENCE" answer <&8 || fail "the reader ended: $(<reader.err)"
}

ask() { # LINE
    printf '%s\n' "$*" >&7
    heard
}

end_reader() {
    exec 7>&- 8<&-
    wait "$reader"
}

# The download ends with its reader, or when it is done: then nobody has the folder of $arriving locked.
is_over() {
    [ -z "$(find "$XDG_DATA_HOME/torpor/oci/arriving" -name lock -exec flock -n {} echo free \; 2>/dev/null | grep -v free)" ]
}

# full.torpor behind a proxy, and nothing in the store.
by_wire() { # MODE…
    behind "$@"
    source="docker://$proxy/torpor/full:v1"
}

# All of it is right, and in the store with its name.
all_right() {
    ask all
    matches "what was read" "$answer" '^right [0-9]+$'
    ask state complete
    matches "state" "$answer" "^complete"
    end_reader
    works verify "$source"
    wakes "$source"
}

arrives() {
    by_wire
    start_reader "$source"
    same "open" "$answer" "open "
    ask files
    [ "$answer" -ge 2 ] || fail "$answer files arrive"
    all_right
    [ "$(asked 'range=bytes=[0-9]+-[0-9]+$')" -ge 2 ] || fail "no closed ranges"
    ! grep -q HEAD proxy.log || fail "it sends HEAD"
}
try arrives "an image is used while it is fetched, and is in the store then"
