#!/bin/bash
# In a KVM host of arm64, with what `make deps-arm64` and the cross build have made: the tests of tests/kvm, those unit tests
# that need KVM, and the files of version 1. Prints `ok - `, `not ok - ` and `skip - ` lines.
#
#     tests/lab/lab --arch arm64 --cpu neoverse-n1 -- tests/arm64/host.sh check|soak|FILTER
#
# FILTER: of criterion, for tests of tests/kvm alone. `check` leaves out what has eight machines at work at once, which takes
# minutes on one software CPU, and resets that are only more of the same.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
export BUILD=build-arm64 # whatever the caller has
export TINY_ELF=$PWD/$BUILD/images/tiny.Image
# Of the sysroot: the hosts' userland is small.
export LD_LIBRARY_PATH=$PWD/build/sysroot-arm64/usr/lib/aarch64-linux-gnu
# The software CPU is slow; the numbers of resets are for others.
export RESET_PERCENT=${RESET_PERCENT:-2}
limit=1200 # seconds for one test that hangs

# Criterion's verbose output as lines. A test that says SKIP and returns is no pass.
translate() { # SUITE
	sed -u 's/\x1b\[[0-9;]*m//g' | awk -v suite="$1" '
		/Test is disabled$/ { next }
		/^SKIP: / { why = substr($0, 7) }
		/^\[PASS\]/ { n++; print (why ? "skip - " : "ok - ") suite ": " $2 " " $3 (why ? " # " why : ""); why = "" }
		/^\[(FAIL|CRASH)\]/ { print "not ok - " suite ": " $2; why = "" }
		/^\[SKIP\]/ { print "skip - " suite ": " $2 }
		/^\[====\] Synthesis/ { split($0, f, /[:|]/); tested = f[3] + 0; failing = f[7] + 0 }
		!/^\[/ || /^\[----\]/ { print "# " $0 }
		{ fflush() }
		END { if (tested == 0) print "not ok - " suite ": the runner tested nothing" }'
}

run() { # SUITE RUNNER FILTER
	"$2" --verbose --jobs 1 --timeout "$limit" --filter "$3" 2>&1 </dev/null | translate "$1"
}

case ${1:-check} in
check) run kvm "$BUILD/tests/kvm/runner" '*/!(*eight*|*five_thousand*)' ;;
soak) run kvm "$BUILD/tests/kvm/runner" '*/*' ;;
*)
	run kvm "$BUILD/tests/kvm/runner" "$1"
	exit
	;;
esac
run unit "$BUILD/tests/unit/runner" '@(tables|arm64_state)/*'
tests/kvm/verbs.sh golden
