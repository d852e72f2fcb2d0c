# minisign checks what we sign, and we what minisign signs, with keys of either, locked and plain.

keygen_pairs() {
    need minisign
    works keygen --no-passphrase -p ours.pub -s ours.key
    matches keygen "$out" 'not encrypted'
    printf 'sesame\n' >words
    works keygen --passphrase-file words -p locked.pub -s locked.key
    same "rights of the secret keys" "$(stat -c %a ours.key locked.key | xargs)" "600 600"
    minisign -G -W -p theirs.pub -s theirs.key >/dev/null || fail "minisign -G -W"
    # With little memory it chooses limits that are quick.
    (ulimit -v 60000 && printf 'sesame\nsesame\n' | minisign -G -p slow.pub -s slow.key) >/dev/null 2>&1 ||
        fail "minisign -G"
}

their_check_of_our_keys() {
    keygen_pairs
    echo message >message
    minisign -S -s ours.key -m message -x by-ours && minisign -V -q -p ours.pub -m message -x by-ours ||
        fail "plain: minisign cannot use our key"
    minisign -S -s locked.key -m message -x by-locked <words >/dev/null &&
        minisign -V -q -P "$(tail -n 1 locked.pub)" -m message -x by-locked ||
        fail "locked: minisign cannot use our key"
    # And it tells the wrong passphrase.
    ! minisign -S -s locked.key -m message -x none <message >/dev/null 2>&1 || fail "any passphrase will do"
}
try their_check_of_our_keys "minisign signs with our keys, plain and encrypted"

# The config and the signature of it, out of an appliance: config.json, signature.minisig.
parts_of() { # FILE
    works extract "$1" config signature
}

their_check_of_our_signatures() {
    keygen_pairs
    build plain.torpor
    local pair unlock
    for pair in ours locked theirs slow; do
        echo sesame >words
        unlock=(--passphrase-file words)
        [[ $pair == @(locked|slow) ]] || unlock=()
        works sign plain.torpor -s "$pair.key" "${unlock[@]}" -o "$pair.torpor" -c "by $pair"
        rm -f config.json signature.minisig
        parts_of "$pair.torpor"
        same "what minisign says" "$(minisign -V -Q -p "$pair.pub" -m config.json -x signature.minisig)" "by $pair"
        printf x >>config.json
        ! minisign -V -q -p "$pair.pub" -m config.json -x signature.minisig || fail "minisign says yes to anything"
        works verify --key "$pair.pub" "$pair.torpor"
        matches "verify --key" "$out" "signed by key [0-9A-F]{16} \($pair.pub\): by $pair"
    done
}
try their_check_of_our_signatures "minisign verifies what we signed, with keys of both"

our_check_of_their_signatures() {
    keygen_pairs
    build it.torpor
    works sign it.torpor -s ours.key
    parts_of it.torpor
    local legacy
    for legacy in '' -l; do
        minisign -S $legacy -s theirs.key -m config.json -x made -t "made elsewhere" || fail "minisign -S $legacy"
        works sign it.torpor --attach made
        works verify --key theirs.pub it.torpor
        matches "verify --key" "$out" "\(theirs.pub\): made elsewhere"
        refuses 121 "which is not trusted" verify --key ours.pub it.torpor
    done
    echo other >other
    minisign -S -s theirs.key -m other -x wrong || fail "minisign -S"
    works sign it.torpor --attach wrong
    refuses 121 "the signature is wrong" verify --key theirs.pub it.torpor
    refuses 121 "not a signature" sign it.torpor --attach other
}
try our_check_of_their_signatures "we verify what minisign signed, prehashed and legacy"
