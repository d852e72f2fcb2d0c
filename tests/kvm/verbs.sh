#!/bin/bash
# Every verb and every flag, from outside, with the tiny kernel: exit statuses, what goes to which
# stream, and that the guests are the ones they should be. `verbs.sh PART`: those of verbs/PART.bash.
# All parts run two at a time, each in a home of its own.
set -u
# Below nohup or in a shell's background SIGHUP or SIGINT is ignored, and a program that is started keeps that.
if [ -z "${VERBS_SIGNALS:-}" ]; then
    VERBS_SIGNALS=default exec env --default-signal=HUP,INT,QUIT,TERM "$0" "$@"
fi
cd "$(dirname "$0")/../.." || exit 1

if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
    echo "skip - verbs # /dev/kvm cannot be opened"
    exit 0
fi
if [ $# = 0 ]; then
    # What a part says stays together.
    export self=tests/kvm/verbs.sh
    basename -s .bash tests/kvm/verbs/*.bash |
        xargs -P 2 -I PART bash -c 'said=$("$self" PART 2>&1); status=$?; echo "$said"; exit "$status"'
    exit
fi
tests=$PWD/tests
. tests/kvm/cli.bash
. "tests/kvm/verbs/$1.bash"
