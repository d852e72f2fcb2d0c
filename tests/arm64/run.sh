#!/bin/bash
# The program that is built for arm64 on another machine, by QEMU's user mode: that has neither KVM nor seccomp, without
# which nothing of a file is read. On hosts with both it is in tests/lab/arm64.py.
set -u
cd "$(dirname "$0")/../.." || exit 1
arm64=$PWD/tests/arm64
foreign=$PWD/build-arm64/torpor
. tests/kvm/cli.bash

arm64() { # ARGUMENT…
    "$arm64/exec" "$foreign" "$@"
}

says_what_it_is() {
    matches "version" "$(arm64 version)" '^torpor .* machine types for aarch64: torpor-1$'
}
try says_what_it_is "the program for arm64 says what it is"
