#!/bin/bash
# tests/lab/run.sh [soak]: the lab suite of `make check`, or that of `make soak`: real Linux guests.
# Each scenario has a lab of its own, two run at a time; where this machine's KVM is good, it does
# without labs. Prints `ok - `, `not ok - ` and `skip - ` lines.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1

export PYTHONDONTWRITEBYTECODE=1
# A copy, for a running lab must not see the program change.
export TORPOR=$PWD/build/lab-bin/torpor
work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT

prepare() {
	mkdir -p build/lab-bin
	cp "${BUILD:-build}/torpor" "$TORPOR.new" && mv "$TORPOR.new" "$TORPOR" &&
		images/debian/build && images/redis/build && images/web/build
}

# Files of scenarios, those that take longest first, and the options of their labs. The time limit
# is at least twice what a scenario takes on two busy cores.
files() {
	local two="--hosts 2 --cpu2 EPYC"
	if [ "$1" = soak ]; then
		echo "soak $two --timeout 3600"
		return
	fi
	echo "chain $two --timeout 600"
	echo "paged $two --timeout 600"
	echo "lan $two --timeout 900"
	echo "net $two --timeout 500"
	echo "clones --timeout 800"
	echo "travel $two --timeout 300"
	echo "wake --timeout 400"
	echo "small --timeout 300"
	echo "tap --timeout 300"
	echo "life --timeout 300"
}

# Each line once for each of the file's scenarios, whose name then follows. A file that cannot tell
# its scenarios fails as one.
scenarios() {
	local file options names name
	while read -r file options; do
		names=$(python3 "tests/lab/$file.py" --list) || names=none
		for name in $names; do
			echo "$file $name $options"
		done
	done
}

# attempt FILE SCENARIO LAB-OPTION...: true when each claim of the scenario holds; what it said is kept.
attempt() {
	local file=$1 scenario=$2 status=0
	local said=$work/$file.$scenario
	shift 2
	tests/lab/patiently "$@" --mem 4096 --timeout 900 -- \
		python3 "tests/lab/$file.py" "$scenario" >"$said" 2>&1 || status=$?
	# Silence, too, is a failure.
	[ "$status" -le 1 ] || echo "not ok - $scenario: the lab ended with status $status" >>"$said"
	[ "$status" = 0 ]
}

# An emulated host now and then spoils a guest (README.md): what fails there is tried once more, and said.
play() {
	local said=$work/$1.$2 status=0
	if ! attempt "$@"; then
		sed "s/^/# first attempt: /" "$said"
		attempt "$@" || status=1
	fi
	cat "$said"
	return "$status"
}
export -f attempt play

play_here() {
	local file failed=0
	while read -r file _; do
		python3 "tests/lab/$file.py" || failed=1
	done
	return "$failed"
}

prepare || { echo "not ok - the guests are made"; exit 1; }
which=${1:-check}
if [ "$(tests/lab/have-kvm 2>/dev/null)" = kvm ]; then
	files "$which" | play_here
else
	files "$which" | scenarios | xargs -P 2 -L 1 bash -c 'play "$@"' play
fi
