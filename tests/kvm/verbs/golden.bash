# Files that were made when the format was young must wake for ever: tests/golden/v1.

GOLDEN=$tests/golden/v1

# Whoever has another vendor's CPU asks the lab, which has that of the files.
foreign() {
    "$TORPOR" compat "$GOLDEN/packed.torpor" 2>&1 | grep -q "it was saved on a CPU of"
}

young_guest() { # FILE COMMAND-OPTION…
    local file=$1 count
    shift
    works verify "$GOLDEN/$file.torpor"
    works resume -d --name "$file" "$@" "$GOLDEN/$file.torpor"
    answers "$file" nonce "$(<"$GOLDEN/nonce")"
    count=$(say "$file" count)
    [ "${count#count }" -gt "$(cut -d' ' -f2 "$GOLDEN/count")" ] || fail "its counter began anew: $count"
    answers "$file" "check 2 1 5" "check ok"
    answers "$file" "dread 0 128 64 7" "dread ok"
    # It is a machine like any other.
    works save "$file" --decrypt -o again.torpor
    works resume -d --name again again.torpor
    answers again nonce "$(<"$GOLDEN/nonce")"
    works kill again
}

golden_wakes() {
    local file
    for file in flat packed hot signed; do
        works inspect --json "$GOLDEN/$file.torpor"
        same "the identity of $file" "$(json "d['digest']" <<<"$out")" "$(<"$GOLDEN/identity")"
        young_guest $file
    done
}

golden_increment() {
    works resume -d --name later "$GOLDEN/increment.torpor"
    answers later nonce "$(<"$GOLDEN/nonce")"
    answers later "check 2 1 5" "check ok"
    answers later "check 3 1 9" "check ok"
    answers later "dread 0 300 8 3" "dread ok"
    works flatten "$GOLDEN/increment.torpor" -o one.torpor
    works resume -d --name one one.torpor
    answers one "check 3 1 9" "check ok"
}

golden_signature() {
    works verify --key "$GOLDEN/key.pub" "$GOLDEN/signed.torpor"
    matches "the signer" "$out" "by the tests"
    young_guest signed --require-signature "$GOLDEN/key.pub"
    refuses 121 "not signed" resume -d --require-signature "$GOLDEN/key.pub" "$GOLDEN/packed.torpor"
}

golden_encrypted() {
    refuses 125 "key file" resume -d "$GOLDEN/encrypted.torpor"
    young_guest encrypted --key-file "$GOLDEN/encrypted.key"
}

if foreign; then
    (cd "$tests/.." && tests/lab/patiently -- tests/kvm/verbs.sh golden)
else
    try golden_wakes "files of version 1 wake: flat, packed, hot, signed"
    try golden_increment "an increment of version 1 wakes on its parent, and is flattened"
    try golden_signature "a signature of version 1 is good"
    try golden_encrypted "an encrypted file of version 1 wakes with its key"
fi
