# How closely resume looks at a file before it wakes it.

# A byte in the middle of the flat memory, changed behind the back of whoever remembers.
damage_quietly() { # FILE
    local name offset length
    read -r name offset length < <("$tests/corrupt/damage.py" regions "$1" | grep '^content:memory.0.0 ')
    printf 'X' | dd of="$1" bs=1 seek=$((offset + length / 2)) conv=notrunc status=none
}

verify_modes() {
    make_live --flat v.torpor
    works resume -d --name full --verify full v.torpor
    is_same_guest full
    works resume -d --name cached --verify=cached v.torpor
    is_same_guest cached
    cp v.torpor bad.torpor
    damage_quietly bad.torpor
    refuses 121 "frame [0-9]+ of memory.0: SHA-256 differs" resume -d bad.torpor
    refuses 121 "frame [0-9]+ of memory.0: SHA-256 differs" resume -d --verify full bad.torpor
    works resume -d --name blind --unverified bad.torpor
    answers blind nonce "$nonce"
    refuses 125 "signature" resume -d --unverified --require-signature trust bad.torpor
    refuses 125 "full or cached" resume -d --verify never v.torpor
}
try verify_modes "resume --verify full|cached find a damaged flat file, --unverified does not look"

# A packed frame is looked at when it is used, whatever was said before.
verify_packed() {
    make_live p.torpor
    works resume -d --name p --verify full p.torpor
    is_same_guest p
    damage_quietly p.torpor
    refuses 121 "memory.0.*: " resume -d --verify full p.torpor
}
try verify_packed "resume --verify full unpacks every frame first"
