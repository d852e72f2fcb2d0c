#!/bin/bash
# The lab suite of `make check`: real Linux guests. Two files of scenarios, in two labs at a time,
# or directly on this machine where its KVM is good. Prints `ok - `, `not ok - ` and `skip - ` lines.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1

export PYTHONDONTWRITEBYTECODE=1
# A copy, for a running lab must not see the program change.
export TORPOR=$PWD/build/lab-bin/torpor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

prepare() {
	mkdir -p build/lab-bin
	cp "${BUILD:-build}/torpor" "$TORPOR.new" && mv "$TORPOR.new" "$TORPOR" && images/debian/build
}

# scenarios NAME LAB-OPTION...: the exit status is 0 when each claim holds.
scenarios() {
	local name=$1 status=0
	shift
	if [ "$where" = kvm ]; then
		python3 "tests/lab/$name.py" || status=$?
	else
		tests/lab/lab "$@" --mem 4096 --timeout 900 -- python3 "tests/lab/$name.py" || status=$?
	fi
	# A suite that died without a word is a failure, too.
	[ "$status" -le 1 ] || echo "not ok - $name.py ended with status $status"
	return "$status"
}

prepare || { echo "not ok - the debian guest is made"; exit 1; }
where=$(tests/lab/have-kvm 2>/dev/null)
scenarios life --hosts 1 >"$work/life" 2>&1 &
scenarios travel --hosts 2 --cpu2 EPYC
travel=$?
wait $!
life=$?
cat "$work/life"
[ "$travel" = 0 ] && [ "$life" = 0 ]
