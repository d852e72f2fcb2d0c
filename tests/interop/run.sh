#!/bin/bash
# What other people's programs make of our files, and we of theirs: every *.bash beside this one.
set -u
cd "$(dirname "$0")/../.." || exit 1
interop=$PWD/tests/interop
. tests/kvm/cli.bash

need() { # PROGRAM…
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# An appliance needs a look at its kernel, and that /dev/kvm.
build() { # FILE
    [ -w /dev/kvm ] || skip "/dev/kvm cannot be opened"
    works_silently build -o "$1" --kernel "$TINY"
}

. "$interop/variants.sh"
for part in "$interop"/*.bash; do
    . "$part"
done
