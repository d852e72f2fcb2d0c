# Files that were made when the format was young must wake for ever: tests/golden/v1. Those of the other architecture
# are only read.

. "$tests/interop/variants.sh"
GOLDEN=$tests/golden/v1
OTHER=$GOLDEN/aarch64
lab=()
if [ "$(uname -m)" = aarch64 ]; then
    OTHER=$GOLDEN GOLDEN=$GOLDEN/aarch64
    lab=(--arch arm64 --cpu neoverse-n1)
fi

# Whoever has another CPU asks the lab, which has that of the files: on x86-64 one of their vendor, on arm64 their model.
foreign() {
    "$TORPOR" compat "$GOLDEN/packed.torpor" 2>&1 | grep -Eq "it was saved on a CPU of|this host's CPU lacks"
}

young_guest() { # FILE COMMAND-OPTION…
    local file=$1 count
    shift
    works verify "$GOLDEN/$file.torpor"
    works resume -d --name "$file" "$@" "$GOLDEN/$file.torpor"
    answers "$file" nonce "$(<"$GOLDEN/nonce")"
    count=$(say "$file" count)
    [ "${count#count }" -gt "$(cut -d' ' -f2 "$GOLDEN/count")" ] || fail "its counter began anew: $count"
    answers "$file" "check $low 1 5" "check ok"
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
    answers later "check $low 1 5" "check ok"
    answers later "check $high 1 9" "check ok"
    answers later "dread 0 300 8 3" "dread ok"
    works flatten "$GOLDEN/increment.torpor" -o one.torpor
    works resume -d --name one one.torpor
    answers one "check $high 1 9" "check ok"
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

# All that does not run it.
golden_other() {
    local file
    cp "$OTHER"/*.torpor "$OTHER"/{key.pub,encrypted.key} .
    for file in flat packed hot signed increment; do
        works verify $file.torpor
        works ls $file.torpor
        matches "what is in $file" "$out" memory.0
    done
    works inspect --json flat.torpor
    same "its identity" "$(json "d['digest']" <<<"$out")" "$(<"$OTHER/identity")"
    works verify --key-file encrypted.key encrypted.torpor
    works verify --key key.pub signed.torpor
    works convert --flat packed.torpor again.torpor
    works verify again.torpor
    works flatten increment.torpor -o one.torpor
    works verify one.torpor
    works extract flat.torpor kernel
    [ -s kernel ] || fail "its kernel is empty"
    refuses 120 "it is for (aarch64|x86_64); this is" compat packed.torpor
    refuses 120 "it is for (aarch64|x86_64); this is" resume packed.torpor
}

try golden_other "files of version 1 of the other architecture are read, and not woken"
if foreign; then
    (cd "$tests/.." && tests/lab/patiently "${lab[@]}" -- tests/kvm/verbs.sh golden)
else
    try golden_wakes "files of version 1 wake: flat, packed, hot, signed"
    try golden_increment "an increment of version 1 wakes on its parent, and is flattened"
    try golden_signature "a signature of version 1 is good"
    try golden_encrypted "an encrypted file of version 1 wakes with its key"
fi
