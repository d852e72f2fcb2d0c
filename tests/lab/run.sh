#!/bin/bash
# tests/lab/run.sh [soak]: the lab suite of `make check`, or that of `make soak`: real Linux guests.
# Each scenario has a lab of its own, and as many run at a time as cores and memory are free; where this
# machine's KVM is good, it does without labs. Prints `ok - `, `not ok - ` and `skip - ` lines.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1

export PYTHONDONTWRITEBYTECODE=1
# What ships (make release). A copy, for a running lab must not see the program change.
export TORPOR=$PWD/build/lab-bin/torpor
arm64_torpor=$PWD/build/lab-bin-arm64/torpor
work=$(mktemp -d)
trap 'end_labs; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Alone, this is the whole run; see tests/lab/patiently.
export LAB_REPEATS=${LAB_REPEATS:-$work/repeats}
host_memory=4096 # MiB

prepare() {
	mkdir -p build/lab-bin
	prepare_arm64 || return
	cp build-release/torpor "$TORPOR.new" && mv "$TORPOR.new" "$TORPOR" &&
		images/debian/build && images/redis/build && images/web/build && images/container/build &&
		{ [ "$which" != soak ] || prepare_kernels bookworm-backports trixie-backports; }
}

prepare_arm64() {
	mkdir -p build/lab-bin-arm64
	cp build-arm64/torpor "$arm64_torpor.new" && aarch64-linux-gnu-strip "$arm64_torpor.new" &&
		mv "$arm64_torpor.new" "$arm64_torpor" &&
		GUEST_ARCH=arm64 images/debian/build && GUEST_ARCH=arm64 images/redis/build &&
		python3 tests/lab/arm64_image.py build/lab-bin-arm64/image
}

# The guests with newer kernels. Where one cannot be had, a file tells the scenario why.
prepare_kernels() { # SUITE...
	local suite status unavailable=69
	for suite; do
		status=0
		images/debian/build-kernel "$suite" 2>"$work/kernel" || status=$?
		cat "$work/kernel" >&2
		rm -f "build/images/kernel-$suite/missing"
		[ "$status" != "$unavailable" ] || tail -n 1 "$work/kernel" >"build/images/kernel-$suite/missing"
		[ "$status" = 0 ] || [ "$status" = "$unavailable" ] || return
	done
}

# Files of scenarios, those that take longest first, and the options of their labs. The time limit is for
# commands that hang: a wait in a scenario ends by itself.
files() {
	local two="--hosts 2 --cpu2 EPYC"
	if [ "$1" = soak ]; then
		echo "soak $two --timeout 28800"
		echo "kernels $two"
		echo "arm64_gicv2 --arch arm64 --gic 2"
		echo "clones $(cpus_of_hosts)"
		echo "reset"
		echo "service"
		echo "limits"
		return
	fi
	echo "arm64 --arch arm64 --hosts 2"
	echo "lan $two"
	echo "golden $two"
	echo "clones"
	echo "chain $two"
	echo "paged $two"
	echo "overwire $two"
	echo "image $two"
	echo "net $two"
	echo "travel $two"
	echo "build"
	echo "wake"
	echo "vector $two"
	echo "exec"
	echo "reset"
	echo "commands"
	echo "small"
	echo "tap"
	echo "life"
}

# Two CPUs show races that one hides; older emulators stop at two, and with newer ones the host's kernel panics
# now and then (README.md): only in the soak. Without labs nobody asks.
cpus_of_hosts() {
	[[ $emulator =~ ^QEMU\ ([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 10 ] && echo "--smp 2"
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

# play FILE SCENARIO LAB-OPTION...: what it said comes at its end. False unless each claim holds.
play() {
	local file=$1 scenario=$2 status=0
	local said=$work/$file.$scenario program=$TORPOR
	shift 2
	[[ $file != arm64* ]] || program=$arm64_torpor
	TORPOR=$program setpriv --pdeathsig TERM tests/lab/patiently "$@" --mem "$host_memory" -- \
		python3 "tests/lab/$file.py" "$scenario" >"$said" 2>&1 </dev/null || status=$?
	# Silence, too, is a failure.
	[ "$status" -le 1 ] || echo "not ok - $scenario: the lab ended with status $status" >>"$said"
	cat "$said"
	[ "$status" = 0 ]
}

# The MiB that a lab with these options may take.
memory_of() {
	[[ " $* " == *" --hosts 2 "* ]] && echo $((2 * host_memory)) || echo "$host_memory"
}

available_memory() {
	awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo
}

# Time that nobody used, or that was used by who gives way (proc_stat(5): nice, idle, iowait).
free_ticks() {
	awk '/^cpu / { print $3 + $5 + $6 }' /proc/stat
}

# In hundredths, over some seconds.
free_cores() {
	local seconds=5 before after
	before=$(free_ticks)
	sleep "$seconds"
	after=$(free_ticks)
	echo $(((after - before) * 100 / seconds / $(getconf CLK_TCK)))
}

# Is there room for a lab that takes so many MiB? For one there always is. Those that run may yet take all that
# they were given, and what else this machine does has its cores first. Uses play_in_labs' labs.
room() { # MIB
	local pid running=0 memory=$1
	for pid in $(jobs -pr); do
		running=$((running + 1))
		memory=$((memory + ${labs[$pid]:-0}))
	done
	[ "$running" != 0 ] || return 0
	[ "$running" -lt "$(nproc)" ] && [ "$(available_memory)" -gt "$memory" ] && [ "$(free_cores)" -ge 50 ]
}

play_in_labs() {
	local lab memory
	local -A labs=()
	while read -r -a lab; do
		memory=$(memory_of "${lab[@]}")
		until room "$memory"; do
			sleep 1
		done
		{ play "${lab[@]}" || : >"$work/failed"; } &
		labs[$!]=$memory
	done
	wait
	[ ! -e "$work/failed" ]
}

end_labs() {
	local pids
	read -r -d "" -a pids <<<"$(jobs -pr)"
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}"
}

play_here() {
	local file failed=0
	while read -r file _; do
		# Emulated wherever this runs.
		[[ $file != arm64* ]] || continue
		python3 "tests/lab/$file.py" || failed=1
	done
	return "$failed"
}

which=${1:-check}
export RESETS=${RESETS:-$([ "$which" = soak ] && echo 1000 || echo 30)}
prepare || { echo "not ok - the guests are made"; exit 1; }
emulator=
if [ "$(tests/lab/have-kvm 2>/dev/null)" = kvm ]; then
	files "$which" | play_here || : >"$work/failed"
	play_in_labs < <(files "$which" | grep '^arm64' | scenarios)
else
	emulator=$(tests/lab/lab --emulator) || { echo "not ok - an emulator runs"; exit 1; }
	echo "# emulator of the labs: $emulator"
	play_in_labs < <(files "$which" | scenarios)
fi
