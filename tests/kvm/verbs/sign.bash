# keygen, sign, verify --key, resume --require-signature.

make_keys() { # NAME…
    local name
    for name; do
        works keygen --no-passphrase -p "$name.pub" -s "$name.key"
    done
}

keygen_files() {
    echo 'open sesame' >words
    works keygen --passphrase-file words
    same "rights" "$(stat -c %a torpor.key)" 600
    matches "what is printed" "$out" $'^key +[0-9A-F]{16}\nsecret +torpor.key\npublic +torpor.pub\n +RW'
    same "the key printed" "$(tail -n 1 <<<"$out" | tr -d ' ')" "$(tail -n 1 torpor.pub)"
    cp torpor.key before
    refuses 125 "torpor.key exists" keygen --no-passphrase
    refuses 125 "torpor.pub exists" keygen --no-passphrase -s other.key
    cmp torpor.key before || fail "the key was changed"
    refuses 122 "create missing/new.pub" keygen --no-passphrase -s new.key -p missing/new.pub
    [ ! -e new.key ] || fail "half a pair was left"
}
try keygen_files "keygen writes a pair, and over nothing"

keygen_passphrases() {
    : >empty
    head -c 2000 /dev/zero | tr '\0' x >long
    refuses 125 "empty" keygen --passphrase-file empty
    refuses 125 "longer than 1023" keygen --passphrase-file long
    refuses 122 "missing" keygen --passphrase-file missing
    refuses 125 "empty" keygen --passphrase-file -
    refuses 125 "exclude" keygen --passphrase-file long --no-passphrase
    setsid "$TORPOR" keygen </dev/null 2>"$SCRATCH/err" && fail "no terminal, and yet a key"
    one_line "--passphrase-file" || fail "$(<"$SCRATCH/err")"
    [ ! -e torpor.key ] && [ ! -e torpor.pub ] || fail "a key was left"
}
try keygen_passphrases "keygen refuses passphrases that are none"

keygen_terminal() {
    same "two that differ" "$(type_at one1 two2 -- "$TORPOR" keygen)" "125 0 False"
    same "none" "$(type_at '' -- "$TORPOR" keygen)" "125 0 True"
    same "Ctrl-C" "$(type_at ^C -- "$TORPOR" keygen)" "0 2 False"
    [ ! -e torpor.key ] || fail "a key was made"
    same "twice the same" "$(type_at one1 one1 -- "$TORPOR" keygen)" "0 0 False"
    works_silently build -o it.torpor --kernel "$TINY"
    same "the wrong one" "$(type_at one2 -- "$TORPOR" sign it.torpor -s torpor.key)" "125 0 False"
    same "the right one" "$(type_at one1 -- "$TORPOR" sign it.torpor -s torpor.key)" "0 0 False"
    works verify -k torpor.pub it.torpor
}
try keygen_terminal "passphrases typed at a terminal are not shown"

sign_in_place() {
    make_keys alice bob
    works_silently build -o it.torpor --kernel "$TINY"
    cp it.torpor before
    works inspect --json it.torpor
    local identity
    identity=$(json "d['digest']" <<<"$out")
    works sign it.torpor -s alice.key -o signed.torpor
    matches sign "$out" '^signed.torpor: signed by key [0-9A-F]{16}$'
    cmp it.torpor before || fail "the original was changed"
    works sign it.torpor -s bob.key -c "from bob"
    works inspect --json it.torpor
    same "the identity" "$(json "d['digest']" <<<"$out")" "$identity"
    works verify it.torpor
    works verify --key bob.pub it.torpor
    matches verify "$out" 'it.torpor: signed by key [0-9A-F]{16} \(bob.pub\): from bob$'
    refuses 121 "signed by key .* not trusted" verify --key alice.pub it.torpor
    works sign it.torpor -s alice.key
    works verify --json --key "$(tail -n 1 alice.pub)" it.torpor
    matches "the comment" "$(json "d['signer']['comment']" <<<"$out")" 'timestamp:[0-9]+.*file:it.torpor'
    refuses 121 "not trusted" verify --key bob.pub it.torpor
    refuses 121 "it is not signed" verify --key bob.pub before
}
try sign_in_place "sign: in place, to another file, anew; the identity stays"

sign_refuses() {
    make_keys alice
    works_silently build -o it.torpor --kernel "$TINY"
    refuses 125 "one of --secret and --attach" sign it.torpor
    refuses 125 "one of --secret and --attach" sign it.torpor -s alice.key --attach it
    refuses 125 "FILE or NAME is missing" sign -s alice.key
    refuses 122 "missing.key" sign it.torpor -s missing.key
    refuses 121 "not a secret key" sign it.torpor -s alice.pub
    refuses 121 "alice.key" verify --key alice.key it.torpor
    refuses 122 "missing.torpor" sign missing.torpor -s alice.key
    refuses 121 "not a torpor file" sign alice.key -s alice.key
    refuses 125 "one printable line" sign it.torpor -s alice.key -c $'two\nlines'
    refuses 122 "missing.pub" verify --key missing.pub it.torpor
    # A word in the kernel.
    works inspect --json it.torpor
    printf 'damage' | dd of=it.torpor bs=1 conv=notrunc status=none \
        seek=$(($(json "[e['offset'] for e in d['entries'] if e['role'] == 'kernel'][0]" <<<"$out") + 1000))
    refuses 121 "it.torpor" sign it.torpor -s alice.key
    refuses 121 "it.torpor" sign it.torpor -s alice.key -o out.torpor
    [ ! -e out.torpor ] || fail "a file was left"
}
try sign_refuses "sign refuses what it cannot use, and what is damaged"

trusted() {
    make_keys alice mallory
    export XDG_CONFIG_HOME=$HOME/config
    local trust=$XDG_CONFIG_HOME/torpor/trust
    make_live plain.torpor
    works sign plain.torpor -s alice.key -o by-alice.torpor
    works sign plain.torpor -s mallory.key -o by-mallory.torpor
    refuses 122 "trusted keys in $trust" resume -d --require-signature trust by-alice.torpor
    (umask 022 && mkdir -p "$trust")
    refuses 125 'no \*.pub in' resume -d --require-signature trust by-alice.torpor
    install -m 644 alice.pub "$trust"
    refuses 121 "plain.torpor: it is not signed" resume -d --require-signature trust plain.torpor
    refuses 121 "by-mallory.torpor: it is signed by key .*, which is not trusted" \
        resume -d --require-signature trust by-mallory.torpor
    works resume -d --require-signature trust by-alice.torpor
    is_same_guest source
    works kill source
    refuses 121 "not trusted" resume -d --require-signature alice.pub by-mallory.torpor
    works resume -d --require-signature mallory.pub by-mallory.torpor
    works kill "$out"
    chmod 777 "$trust"
    refuses 125 "writable by nobody else" resume -d --require-signature trust by-alice.torpor
}
try trusted "resume --require-signature: by key, and by the trust folder"
