# One machine in every form a file can have, for the tests beside this: flat, packed, hot and signed are
# the same appliance, stream is another save of it at the same moment, increment stands on packed.

FULL="flat packed hot signed stream"

# The least memory that the tiny kernel fits into, and two MiB there that are nobody's.
case $(uname -m) in
aarch64) variant=(-m 8M --cpu v8) low=5 high=6 ;;
*) variant=(-m 4M --cpu v1) low=2 high=3 ;;
esac

make_variants() { # in the current folder
    truncate -s 200K disk.img
    printf 'at the end' | dd of=disk.img bs=1 seek=204700 conv=notrunc status=none
    boot source "${variant[@]}" --disk disk.img,id=root
    answers source "fill $low 1 5" "filled 256"
    answers source "dwrite 0 128 64 7" "dwrite ok"
    say source nonce >nonce
    say source count >count
    works pause source
    "$TORPOR" save -R --full -o - source 2>said | cat >stream.torpor
    works save -R --full -o packed.torpor source
    works unpause source
    answers source "fill $high 1 9" "filled 256"
    answers source "dwrite 0 300 8 3" "dwrite ok"
    works save --parent packed.torpor -o increment.torpor source
    works convert --flat packed.torpor flat.torpor
    works warm --for 1 packed.torpor -o hot.torpor
    works keygen --no-passphrase -p key.pub -s key.sec
    works sign packed.torpor -s key.sec -o signed.torpor -c "by the tests"
    rm disk.img key.sec said
}

# Copies of all of them in the current folder. They are made once for the whole suite.
variants() {
    [ -w /dev/kvm ] || skip "/dev/kvm cannot be opened"
    if ! [ -d "$SCRATCH/variants" ]; then
        mkdir making
        (cd making && make_variants) || exit 1
        mv making "$SCRATCH/variants"
    fi
    cp "$SCRATCH"/variants/* .
    nonce=$(<nonce)
}

identity() { # FILE
    works inspect --json "$1"
    json "d['digest']" <<<"$out"
}

# The guest that was saved, as it was then, and goes on counting where it was.
is_the_guest() { # NAME
    local count
    answers "$1" nonce "$nonce"
    count=$(say "$1" count)
    [ "${count#count }" -gt "$(cut -d' ' -f2 "$SCRATCH/variants/count")" ] || fail "its counter began anew: $count"
    answers "$1" "check $low 1 5" "check ok"
    answers "$1" "dread 0 128 64 7" "dread ok"
}

# `resume` may say that memory lost its alignment on the way.
wakes() { # FILE
    call resume -d --name woken "$1"
    [ "$status" = 0 ] || fail "$(report_call resume "$1")"
    [ ! -s "$SCRATCH/err" ] || one_line "is not page-aligned" || fail "$(report_call resume "$1")"
    is_the_guest woken
    works kill woken
}
