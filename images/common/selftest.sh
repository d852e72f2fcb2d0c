# Boot a guest under QEMU's software CPU and question it. Sourced by bash from
# images/NAME/selftest.sh; needs neither KVM nor torpor. microvm shows its virtio-mmio devices the
# way torpor does, through ACPI.

set -euo pipefail
images=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
scratch=$(mktemp -d)
passed=0
failed=0
qemu_pid=
trap 'vm_kill; rm -rf "$scratch"' EXIT

# What torpor's machines have by default and QEMU's get by these: a card with a network of its own
# behind it, and the agent's port.
with_network=(-netdev user,id=net -device virtio-net-device,netdev=net,mac=52:54:00:00:00:01)
with_agent=(-chardev "socket,id=agent,path=$scratch/agent,server=on,wait=off"
	-device virtserialport,chardev=agent,name=org.qemu.guest_agent.0)

# check TEXT COMMAND…: one test; COMMAND says by its status whether it passed.
check()
{
	local text=$1
	shift
	if "$@"; then
		echo "ok - $text"
		passed=$((passed + 1))
	else
		echo "not ok - $text${reply:+ (last reply: $reply)}"
		failed=$((failed + 1))
	fi
}

# selftest_end: the closing line, and the exit status of it all.
selftest_end()
{
	echo "$passed passed, $failed failed"
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
}

# vm_start DIR CONSOLE MIB CPUS [QEMU-ARGS…]: boot DIR's files, on a copy of its disk if $scratch
# has none yet. Two words of the command line are for microvm: a busy host can spoil the kernel's
# reading of the TSC's speed, and early code then waits for a timer that is not there yet; and a
# reset by other means than a triple fault sometimes goes unheard with two CPUs.
vm_start()
{
	local dir=$1 console=$2 memory=$3 cpus=$4 talk
	shift 4
	[ -e "$scratch/disk.img" ] || cp --sparse=always "$dir/disk.img" "$scratch/disk.img"
	rm -f "$scratch"/monitor.*
	vm_started=$(date +%s%N)
	mkfifo "$scratch/monitor.in" "$scratch/monitor.out"
	case $console in
	hvc*) talk=(-device virtio-serial-device -device virtconsole,chardev=talk) ;;
	*) talk=(-serial chardev:talk -device virtio-serial-device) ;;
	esac
	coproc QEMU {
		exec qemu-system-x86_64 -M microvm,acpi=on,rtc=on -accel tcg -cpu max -m "$memory" \
			-smp "$cpus" -nodefaults -display none -kernel "$dir/vmlinuz" \
			-initrd "$dir/initrd.img" -append \
			"console=$console quiet loglevel=3 panic=-1 tsc_early_khz=2500000 reboot=t" \
			-chardev stdio,id=talk,signal=off "${talk[@]}" \
			-drive if=none,id=disk,format=raw,file="$scratch/disk.img" \
			-device virtio-blk-device,drive=disk -device virtio-rng-device \
			-chardev pipe,id=monitor,path="$scratch/monitor" -mon chardev=monitor "$@"
	}
	qemu_pid=$QEMU_PID
	exec {vm_out}<&"${QEMU[0]}" {vm_in}>&"${QEMU[1]}"
	reply=
}

vm_kill()
{
	[ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null || true
}

# vm_read REGEX SECONDS: skip lines until one matches; it is left in $reply.
vm_read()
{
	local deadline=$((SECONDS + $2)) line
	reply=
	while [ $SECONDS -lt $deadline ]; do
		if IFS= read -r -t 5 -u "$vm_out" line; then
			line=${line%$'\r'}
			if [[ $line =~ $1 ]]; then
				reply=$line
				return 0
			fi
		elif [ $? -le 128 ]; then
			return 1 # end of file: QEMU is gone
		fi
	done
	return 1
}

# vm_ready SECONDS: wait for READY; tells how long the boot took and the nonce.
vm_ready()
{
	vm_read '^READY nonce=[0-9a-f]{32}' "$1" || return 1
	nonce=$(sed 's/.*nonce=\([0-9a-f]*\).*/\1/' <<<"$reply")
	echo "# READY after $((($(date +%s%N) - vm_started) / 1000000)) ms"
}

vm_send()
{
	echo "$1" >&"$vm_in"
}

# vm_ask COMMAND REGEX [SECONDS]: send, then expect the reply line to match; $reply has it.
vm_ask()
{
	vm_send "$1"
	vm_read "^(${1%% *}|error) " "${3:-20}" && [[ $reply =~ $2 ]]
}

# vm_press_power: what `torpor stop` does.
vm_press_power()
{
	echo system_powerdown >"$scratch/monitor.in"
}

# vm_gone SECONDS: whether QEMU ends by itself in time.
vm_gone()
{
	local left=$(($1 * 10))
	while kill -0 "$qemu_pid" 2>/dev/null; do
		[ $((left -= 1)) -gt 0 ] || return 1
		sleep 0.1
	done
	qemu_pid=
}

# disk_is_clean: as the host sees it, the machine being gone.
disk_is_clean()
{
	e2fsck -fn "$scratch/disk.img" >/dev/null 2>&1
}

number()
{
	sed "s/^[a-z]* \([0-9]*\).*/\1/" <<<"$reply"
}

# grows COMMAND: whether the number it answers with is higher half a second later.
grows()
{
	local before
	vm_ask "$1" '^[a-z]+ [0-9]' || return 1
	before=$(number)
	sleep 1.1
	vm_ask "$1" '^[a-z]+ [0-9]' && [ "$(number)" -gt "$before" ]
}

same_memory()
{
	vm_ask "mem 16" '^mem [0-9a-f]{64}$' || return 1
	local sum=${reply#mem }
	vm_ask memsum "^memsum $sum\$"
}

# The protocol as every guest speaks it.
check_protocol()
{
	check "the nonce stays" vm_ask nonce "^nonce $nonce\$"
	check "the counter counts" grows count
	check "uptime goes on" grows uptime
	check "clock tells two times" vm_ask clock '^clock [0-9]+\.[0-9]{9} [0-9]+\.[0-9]{9}$'
	check "both CPUs are up" vm_ask cpus '^cpus 2$'
	check "time is common to both CPUs" vm_ask "monotone 2" '^monotone ok cpus=2 '
	check "an unknown command is refused" vm_ask bogus '^error unknown$'
	check "sh tells a status" vm_ask "sh exit 3" '^sh exit 3$'
	vm_send "sh echo some words"
	check "sh shows output" vm_read '^some words$' 10
	check "dmesg ends" vm_ask "dmesg 2" '^dmesg end$'
	check "sync" vm_ask sync '^sync done$'
	check_load
	check "the disk is clean inside" vm_ask fsck '^fsck clean$'
	check "memory holds what it was given" same_memory
	check "too much memory is refused" vm_ask "mem 100000" '^error mem' 120
	check "no CPU was stuck" vm_ask softlockup '^softlockup 0$'
}

# until_true COMMAND…: within some seconds.
until_true()
{
	local deadline=$((SECONDS + 20))
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.5
	done
}

# another COMMAND REGEX: two answers that fit and differ.
another()
{
	local before
	vm_ask "$1" "$2" || return 1
	before=$reply
	vm_ask "$1" "$2" && [ "$reply" != "$before" ]
}

agent()
{
	"$images/common/selftest-agent" "$scratch/agent" "$@" 2>"$scratch/agent.err" || {
		sed 's/^/# agent: /' "$scratch/agent.err"
		return 1
	}
}

# clock_is SECONDS: the guest's, give or take what the emulator needs.
clock_is()
{
	local off
	vm_ask clock '^clock [0-9]' || return 1
	off=$(($(number) - $1))
	[ ${off#-} -le 20 ]
}

# What happens on waking, the agent being told by us instead of torpor.
check_network()
{
	local now hostname machine_id host_key
	check "DHCP gives an address" until_true vm_ask net '^net 10\.0\.2\.15 52:54:00:00:00:01 '
	check "so does IPv6" until_true vm_ask net '^net .* fec0:'
	check "random is random" another random '^random [0-9a-f]{32}$'
	check "so is uuid" another uuid '^uuid [0-9a-f-]{36}$'
	check "never woken" vm_ask wakes '^wakes 0$'

	check "the agent answers" agent ping
	now=$(($(date +%s) + 5000))
	check "the agent sets the clock" agent set-time "$now"
	check "to what it was told" clock_is "$now"
	now=$((now + 5000))
	check "the hooks run" agent hooks TORPOR_NAME=web TORPOR_GENERATION=2 \
		TORPOR_SECONDS_ASLEEP=600 TORPOR_MAC=52:54:00:00:00:01 TORPOR_NOW="$now"
	check "with their environment" vm_ask wakes \
		'^wakes 1 name=web generation=2 asleep=600 mac=52:54:00:00:00:01 identity=0$'
	check "one sets a clock that is wrong" clock_is "$now"
	check "the address is still there" vm_ask net '^net 10\.0\.2\.15 '
	check_identity
	check "an agent that dies" vm_ask "sh killall qemu-ga" '^sh exit 0$'
	check "comes back" until_true agent ping
}

# inside COMMAND: its first line of output.
inside()
{
	vm_send "sh $1"
	vm_read . 10 && echo "$reply" && vm_read '^sh exit 0' 10
}

# A new identity is new in each part, and the other one's address is given up.
check_identity()
{
	local id key
	id=$(inside "cat /etc/machine-id") key=$(inside "sha256sum /etc/torpor/host_key")
	check "there are a machine-id and a host key" [ -n "${id:+$key}" ]
	check "the hooks run for a new identity" agent hooks TORPOR_NAME=twin TORPOR_GENERATION=2 \
		TORPOR_SECONDS_ASLEEP=600 TORPOR_MAC=52:54:00:00:00:02 TORPOR_NEW_IDENTITY=1
	check "another hardware address, and an address of its own" until_true \
		vm_ask net '^net 10\.0\.2\.16 52:54:00:00:00:02 '
	check "IPv6 follows" until_true vm_ask net '^net .* fec0::.*:fe00:2$'
	check "another host name" [ "$(inside hostname)" = twin ]
	check "another machine-id" [ "$(inside "cat /etc/machine-id")" != "$id" ]
	check "another host key" [ "$(inside "sha256sum /etc/torpor/host_key")" != "$key" ]
}

check_load()
{
	check "disk load starts" vm_ask "load start" '^load started$'
	check "but only once" vm_ask "load start" '^error load: already started$'
	check "console load starts" vm_ask "spew start" '^spew started$'
	sleep 1
	check "answers come through both loads" vm_ask nonce "^nonce $nonce\$"
	check "console load stops" vm_ask "spew stop" '^spew stopped lines=[1-9]'
	check "disk load finds no damage" vm_ask "load stop" '^load stopped ok=[1-9][0-9]* bad=0$'
	check "a stopped load cannot stop" vm_ask "load stop" '^error load: not started$'
}

# A clean reboot gives another nonce on the same disk; the power button and the command both end it.
check_endings()
{
	local before=$nonce
	vm_started=$(date +%s%N)
	vm_send reboot
	check "reboot comes back" vm_ready 60
	check "with another nonce" [ "$nonce" != "$before" ]
	vm_press_power
	check "the power button powers off" vm_gone 20
	check "and leaves the disk clean" disk_is_clean
}
