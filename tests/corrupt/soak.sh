#!/bin/bash
# The slow campaigns: 200 killed savers, a chain of 30 generations, 1000 flipped bits.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=$PWD/tests/corrupt
. tests/kvm/cli.bash
. "$here/kills.bash"

if ! [ -w /dev/kvm ]; then
    echo "skip - soak # /dev/kvm cannot be opened"
    exit 0
fi

# Memory and disk written in every generation are there in the last; the file does not grow without end.
chain() {
    local i first last
    truncate -s 8M disk.img
    make_live chain.torpor --disk disk.img
    for ((i = 1; i <= 30; i++)); do
        works resume -d chain.torpor
        is_same_guest source
        answers source "fill $((24 + i)) 1 $i" "filled 256"
        answers source "dwrite 0 $((i * 128)) 64 $i" "dwrite ok"
        works save source -o chain.torpor
        [ $i != 2 ] || first=$(stat -c %s chain.torpor)
    done
    works verify chain.torpor
    works resume -d chain.torpor
    is_same_guest source
    for ((i = 1; i <= 30; i++)); do
        answers source "check $((24 + i)) 1 $i" "check ok"
        answers source "dread 0 $((i * 128)) 64 $i" "dread ok"
    done
    works inspect source
    matches inspect "$out" 'generation +31'
    # 28 more MiB of memory, and 28 frames of 64 KiB of the disk.
    last=$(stat -c %s chain.torpor)
    [ $((last - first)) -lt $((28 * (1048576 + 65536) + 1048576)) ] || fail "it grew from $first to $last bytes"
}
try chain "a chain of 30 generations: one guest, one nonce, all that it ever wrote"

thousand_flips() {
    truncate -s 1M disk.img
    make_live whole.torpor --disk disk.img
    works resume -d whole.torpor
    answers source "dwrite 0 0 64 1" "dwrite ok"
    works save source -o disk.torpor
    "$here/damage.py" flips "$TORPOR" disk.torpor 1000 soak || exit 1
}
try thousand_flips "1000 flipped bits: every one found by verify"

ROUNDS=200
try killed_savers "200 kills at random moments of a save: the old file or the new one, whole"
