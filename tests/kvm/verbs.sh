#!/bin/bash
# Every verb and every flag, from outside, with the tiny kernel: exit statuses, what goes to which
# stream, and that the guests are the ones they should be. `verbs.sh PART…`: those of verbs/PART.bash.
# Without a part: all of them, two at a time.
set -u
cd "$(dirname "$0")/../.." || exit 1
verbs=$PWD/tests/kvm/verbs

if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
    echo "skip - verbs # /dev/kvm cannot be opened"
    exit 0
fi

# What one part says stays together.
play() {
    local said
    said=$(tests/kvm/verbs.sh "$1" 2>&1) || said+=$'\n'"not ok - verbs/$1 reaches its end"
    printf '%s\n' "$said"
}
export -f play

if [ $# = 0 ]; then
    basename -s .bash "$verbs"/*.bash | xargs -P 2 -I{} bash -c 'play {}'
    exit
fi
. tests/kvm/cli.bash
for part; do
    . "$verbs/$part.bash"
done
