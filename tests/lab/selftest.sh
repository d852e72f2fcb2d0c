#!/bin/bash
# Proves what README.md promises of the lab. Takes some minutes.

# Commands for the hosts are in single quotes.
# shellcheck disable=SC2016

set -u

cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
lab=tests/lab/lab
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check NAME COMMAND...: one line, by the command's exit status.
check() {
	local name=$1
	shift
	if "$@"; then
		echo "ok - $name"
		passed=$((passed + 1))
	else
		echo "not ok - $name"
		failed=$((failed + 1))
	fi
}

# run [OPTION]... -- COMMAND...: leaves $status, $work/out and $work/err.
run() {
	"$lab" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
}

# What /dev/kvm answers to KVM_GET_API_VERSION (KVM API §4.1).
kvm_version='import fcntl, os; print(fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), 0xae00))'

test_streams() {
	mkdir "$work/files"
	head -c 1048576 /dev/urandom >"$work/files/one"
	head -c 1048576 /dev/urandom >"$work/files/two"
	LAB_OUT=$work/files run -- sh -c 'cd "$LAB_OUT" && cat one && cat two >&2 && exit 7'
	check "exit status 7" [ "$status" = 7 ]
	check "1 MiB of random bytes on stdout" cmp -s "$work/files/one" "$work/out"
	check "1 MiB of others on stderr" cmp -s "$work/files/two" "$work/err"
}

test_host() {
	mkdir "$work/back"
	LAB_OUT=$work/back run --verbose -- bash -c '
		python3 -c "$1" >"$LAB_OUT/version"
		pwd >"$LAB_OUT/pwd"
		cat >"$LAB_OUT/stdin"
		test -c /dev/userfaultfd' bash "$kvm_version"
	check "exit status 0, /dev/userfaultfd there" [ "$status" = 0 ]
	check "working directory kept, files back" [ "$(cat "$work/back/pwd")" = "$PWD" ]
	check "/dev/kvm speaks API version 12" [ "$(cat "$work/back/version")" = 12 ]
	check "stdin empty" [ -e "$work/back/stdin" -a ! -s "$work/back/stdin" ]
	check_ready "one host"
}

check_ready() {
	local seconds
	seconds=$(sed -n 's/^lab: ready in \([0-9.]*\) s.*/\1/p' "$work/err")
	check "$1 ready in ${seconds:-?} s" [ -n "$seconds" ]
}

# Inside: a guest of the lab's own kernel prints a word from its userland.
nested='
	mkdir -p /tmp/guest/bin && cd /tmp/guest || exit
	cp /lab/bin/busybox bin
	printf "#!/bin/busybox sh\necho nested-userland\n/bin/busybox reboot -f\n" >init
	chmod +x init
	find . | cpio --quiet -o -H newc >/tmp/guest.cpio
	exec timeout 120 qemu-system-x86_64 -accel kvm -cpu host -M microvm,rtc=on -m 256 -no-reboot \
		-nodefaults -display none -serial stdio -kernel "$1" -initrd /tmp/guest.cpio \
		-append "console=ttyS0 reboot=t panic=-1 loglevel=1"'

test_nested_guest() {
	run -- bash -c "$nested" bash "$PWD/build/lab/kernel/vmlinux"
	check "Linux boots under the host's KVM" grep -qa nested-userland "$work/out"
	check "and ends" [ "$status" = 0 ]
}

test_two_hosts() {
	head -c 1048576 /dev/urandom >"$work/files/input"
	LAB_OUT=$work/files run --hosts 2 --cpu2 EPYC --verbose -- bash -c '
		lab-on host2 sh -c "cat; echo errors >&2; exit 9" <"$LAB_OUT/input" 2>"$LAB_OUT/errors"
		echo $? >"$LAB_OUT/status"
		lab-cp "$LAB_OUT/input" host2:/tmp/copy && lab-cp host2:/tmp/copy "$LAB_OUT/copy"
		lab-on host2 sh -c "hostname; pwd; grep -m 1 -o EPYC /proc/cpuinfo" >"$LAB_OUT/names"
		lab-on host3 true 2>/dev/null
		echo $? >>"$LAB_OUT/status"'
	check "lab-on: 1 MiB through stdin and stdout" cmp -s "$work/files/input" "$work/out"
	check "lab-on: stderr apart" [ "$(cat "$work/files/errors")" = errors ]
	check "lab-on: exit status, 255 for no host" [ "$(paste -sd, "$work/files/status")" = 9,255 ]
	check "lab-on: host2, same directory, its own CPU" \
		[ "$(paste -sd, "$work/files/names")" = "host2,$PWD,EPYC" ]
	check "lab-cp: there and back" cmp -s "$work/files/input" "$work/files/copy"
	check_ready "two hosts"
}

# Each failure: one line, and status 125 if it was the lab's.
failed_with() {
	[ "$status" = "${2:-125}" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q "$1" "$work/err"
}

# Inside: nothing else gets the only CPU any more.
hog='echo -1 >/proc/sys/kernel/sched_rt_runtime_us
	exec chrt -f 99 sh -c "while :; do :; done"'

test_failures() {
	run --timeout 8 -- sleep 100
	check "timeout: the command's failure, not the lab's" failed_with 'no end after 8 s' 124
	run --still 15 -- sleep 30
	check "a host that waits longer than --still is not taken for dead" [ "$status" = 0 ]
	run --still 15 -- sh -c "$hog"
	check "a host that stands still" failed_with 'host1 has stood still for 15 s'
	run -- sh -c 'echo c >/proc/sysrq-trigger'
	check "kernel panic" failed_with 'Kernel panic'
	run --cpu nonsense -- true
	check "QEMU refuses" failed_with nonsense
	run --hosts 3 -- true
	check "wrong option" failed_with 'hosts 3'
}

test_emulator() {
	run --emulator
	check "the emulator has a name: $(cat "$work/out")" grep -q '^QEMU [0-9]' "$work/out"
	run --qemu "$(command -v qemu-system-x86_64)" --verbose -- true
	check "the installed one by --qemu" grep -qF "$(qemu-system-x86_64 --version | grep -o '[0-9.]* (.*')" "$work/err"
	run --qemu /bin/true -- true
	check "a program that is no emulator" failed_with 'no QEMU'
	check "without a mirror: the installed one" [ "$(emulator_without_mirror)" = "qemu-system-x86_64 qemu-system-x86_64" ]
	check "and that is said once a day" [ "$(wc -l <"$work/refused")" -le 1 ]
}

# What is found twice, where apt reaches nothing.
emulator_without_mirror() (
	. tests/lab/emulator.sh
	say() { echo "$*" >>"$work/refused"; }
	apt-get() { echo "apt: no mirror" >&2; return 100; }
	: >"$work/refused"
	mkdir "$work/no-mirror"
	for _ in 1 2; do
		emulator_find "$work/no-mirror"
		echo "${emulator[@]}"
	done | paste -sd ' '
)

# A lab that fails is repeated, at most twice a run; a command that fails is not.
test_repeats() {
	local panic='echo again >>"$LAB_OUT/attempts"; sync; echo c >/proc/sysrq-trigger'
	export LAB_REPEATS=$work/repeats LAB_OUT=$work/attempts
	mkdir "$LAB_OUT"
	tests/lab/patiently -- sh -c 'echo once >>"$LAB_OUT/attempts"; exit 3' >"$work/out"
	check "a command that fails is not repeated" \
		[ $? = 3 -a "$(cat "$LAB_OUT/attempts")" = once -a ! -s "$LAB_REPEATS" ]
	for _ in 1 2 3; do
		: >"$LAB_OUT/attempts"
		tests/lab/patiently -- sh -c "$panic" >"$work/out"
		echo "$? $(wc -l <"$LAB_OUT/attempts") $(grep -c 'again.*Kernel panic' "$work/out")" >>"$work/panics"
	done
	check "a lab that fails is, twice a run" [ "$(paste -sd, "$work/panics")" = "125 2 1,125 2 1,125 1 0" ]
	check "and each time is noted" [ "$(grep -c 'Kernel panic' "$LAB_REPEATS")" = 2 ]
	unset LAB_REPEATS LAB_OUT
}

children() {
	cat "/proc/$1/task/$1/children"
}

has_children() { # PID COUNT
	[ "$(children "$1" | wc -w)" -ge "$2" ]
}

# A zombie nobody has reaped yet counts as gone.
gone() {
	local pid
	for pid in "$@"; do
		[ ! -e "/proc/$pid" ] || grep -q '^State:.*zombie' "/proc/$pid/status" || return 1
	done
}

# Within a minute.
eventually() {
	for _ in {1..600}; do
		"$@" && return
		sleep 0.1
	done
	return 1
}

# A lab that is ended, in one way or another, takes its children along; and its files, if it can.
test_ends() {
	local pid below=()
	lab_start
	kill -TERM "$pid"
	wait "$pid" 2>/dev/null
	check "SIGTERM: children ended" gone "${below[@]}"
	check "SIGTERM: nothing left" [ -z "$(find "$work/tmp" "$work/end" -mindepth 1)" ]

	lab_start
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	check "SIGKILL: children ended" eventually gone "${below[@]}"

	bash -c '"$1" -- sleep 100 2>/dev/null & echo $!; sleep 3' bash "$lab" >"$work/orphan"
	check "parent's death: ended" eventually gone "$(cat "$work/orphan")"
}

# Sets the caller's pid, and below: the lab's children.
lab_start() {
	mkdir -p "$work/tmp"
	TMPDIR=$work/tmp LAB_OUT=$work/end "$lab" -- sleep 100 2>/dev/null &
	pid=$!
	# The host, two streams and the timer.
	check "lab runs" eventually has_children "$pid" 4
	read -r -a below <"/proc/$pid/task/$pid/children"
}

test_streams
test_host
test_nested_guest
test_two_hosts
test_emulator
test_failures
test_repeats
test_ends
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
