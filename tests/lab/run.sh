#!/bin/bash
# The lab suite of `make check`: real Linux guests. Each scenario has a lab of its own, two run at a
# time; where this machine's KVM is good, it does without labs. Prints `ok - `, `not ok - ` and
# `skip - ` lines.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1

export PYTHONDONTWRITEBYTECODE=1
# A copy, for a running lab must not see the program change.
export TORPOR=$PWD/build/lab-bin/torpor
# Twice what the longest scenario takes on two busy cores.
timeout=300
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

prepare() {
	mkdir -p build/lab-bin
	cp "${BUILD:-build}/torpor" "$TORPOR.new" && mv "$TORPOR.new" "$TORPOR" && images/debian/build
}

# play FILE SCENARIO LAB-OPTION...: true when each claim of the scenario holds.
play() {
	local file=$1 scenario=$2 status=0
	shift 2
	tests/lab/patiently "$@" --mem 4096 --timeout "$timeout" -- \
		python3 "tests/lab/$file.py" "$scenario" >"$work/$scenario" 2>&1 || status=$?
	cat "$work/$scenario"
	# Silence, too, is a failure.
	[ "$status" -le 1 ] || echo "not ok - $scenario: the lab ended with status $status"
	[ "$status" = 0 ]
}

# play_all FILE LAB-OPTION...: true when each claim of each scenario holds.
play_all() {
	local file=$1 scenario failed=0
	shift
	if [ "$where" = kvm ]; then
		python3 "tests/lab/$file.py"
		return
	fi
	for scenario in $(python3 "tests/lab/$file.py" --list); do
		play "$file" "$scenario" "$@" || failed=1
	done
	return "$failed"
}

prepare || { echo "not ok - the debian guest is made"; exit 1; }
where=$(tests/lab/have-kvm 2>/dev/null)
(play_all life --hosts 1; life=$?; play_all small --hosts 1 && [ "$life" = 0 ]) &
play_all travel --hosts 2 --cpu2 EPYC
travel=$?
wait $!
life=$?
[ "$travel" = 0 ] && [ "$life" = 0 ]
