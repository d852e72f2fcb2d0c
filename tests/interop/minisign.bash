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
