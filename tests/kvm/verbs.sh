#!/bin/bash
# Every verb and every flag, from outside, with the tiny kernel: exit statuses, what goes to which
# stream, and that the guests are the ones they should be. `verbs.sh PART`: those of verbs/PART.bash.
set -u
cd "$(dirname "$0")/../.." || exit 1
verbs=$PWD/tests/kvm/verbs
. tests/kvm/cli.bash

if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
    echo "skip - verbs # /dev/kvm cannot be opened"
    exit 0
fi
for part in "$verbs"/${1:-*}.bash; do
    . "$part"
done
