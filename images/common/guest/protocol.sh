# The line protocol on the console: one command a line, one reply line (images/README.md lists
# them). Sourced by busybox sh as process 1, after identity.sh. A guest adds a command by defining command_NAME;
# functions get the rest of the line as one argument.
#
# A guest sets disk_mount, the place /dev/vda is mounted at, before it calls protocol_serve.

data=/data

# protocol_start: what runs from boot on: the counter and the watch on the power button. The
# nonce lives in this shell's memory and nowhere else.
protocol_start()
{
	nonce=$(random_hex 16)
	# tmpfs allows half of RAM unless told; `mem` may take more, but never all of it.
	mkdir -p /run/mem
	mount -t tmpfs -o size=70% tmpfs /run/mem
	probe tick /run/count </dev/null &
	acpid -d </dev/null >/dev/null 2>&1 &
	boot_wait /run/count
}

# protocol_serve [WORD…]: say READY, with WORDs after the nonce, then answer for ever.
protocol_serve()
{
	local verb rest
	dmesg -n 1
	echo "READY nonce=$nonce${*:+ $*}"
	while :; do
		# In a child: process 1 waits for it, and meanwhile for every orphan that ends. Reading, it
		# would leave them behind as zombies.
		(
			while read -r verb rest; do
				[ -z "$verb" ] || protocol_answer "$verb" "$rest"
			done
		)
		# The other end hung up. Breathe, then listen again.
		usleep 100000
		boot_console
	done
}

protocol_answer()
{
	case $1 in
	*[!a-z]*) ;;
	*)
		if command -v "command_$1" >/dev/null; then
			"command_$1" "$2"
			return
		fi
		;;
	esac
	echo "error unknown"
}

command_nonce()
{
	echo "nonce $nonce"
}

command_count()
{
	echo "count $(cat /run/count)"
}

command_uptime()
{
	echo "uptime $(cut -d ' ' -f 1 /proc/uptime)"
}

command_clock()
{
	echo "clock $(probe clock)"
}

command_cpus()
{
	echo "cpus $(nproc)"
}

command_monotone()
{
	echo "monotone $(probe monotone "${1:-1}" 2>&1)"
}

# The address by DHCP, the card's own, the one by IPv6; - for what is not there.
command_net()
{
	local mac=- inet inet6
	if [ -e /sys/class/net/eth0 ]; then
		read -r mac </sys/class/net/eth0/address
		inet=$(net_address inet)
		inet6=$(net_address inet6)
	fi
	echo "net ${inet:--} $mac ${inet6:--}"
}

net_address()
{
	ip addr show dev eth0 | grep -v 'scope link' | sed -n "s|^ *$1 \([^/ ]*\).*|\1|p" | head -n 1
}

command_random()
{
	echo "random $(random_hex 16)"
}

command_uuid()
{
	echo "uuid $(cat /proc/sys/kernel/random/uuid)"
}

# How often the hooks ran, and what they were told the last time.
command_wakes()
{
	if [ -e /run/wakes ]; then
		echo "wakes $(grep -c '' /run/wakes) $(tail -n 1 /run/wakes)"
	else
		echo "wakes 0"
	fi
}

command_softlockup()
{
	echo "softlockup $(dmesg | grep -c -E 'soft lockup|rcu.*(stall|starved)')"
}

command_dmesg()
{
	dmesg | tail -n "${1:-20}"
	echo "dmesg end"
}

command_sync()
{
	sync
	echo "sync done"
}

load_pid=
command_load()
{
	case $1,$load_pid in
	start,)
		if ! boot_has_disk; then
			echo "error load: no disk"
			return
		fi
		rm -f /run/load.out # of an earlier load
		probe load "$data" </dev/null >/run/load.out &
		load_pid=$!
		# One that is stopped before its first file has nothing to tell.
		while ! [ -s /run/load.out ] && kill -0 "$load_pid" 2>/dev/null; do
			usleep 10000
		done
		echo "load started"
		;;
	stop,?*)
		kill "$load_pid"
		wait "$load_pid"
		load_pid=
		echo "load stopped $(tail -n 1 /run/load.out)"
		;;
	start,*) echo "error load: already started" ;;
	*) echo "error load: not started" ;;
	esac
}

vector_pid=
command_vector()
{
	case $1,$vector_pid in
	start\ *,)
		rm -f /run/vector
		probe vector "${1#start }" /run/vector </dev/null 2>/run/vector.err &
		vector_pid=$!
		until [ -e /run/vector ]; do
			if ! kill -0 "$vector_pid" 2>/dev/null; then
				vector_pid=
				echo "error vector: $(cat /run/vector.err)"
				return
			fi
			usleep 20000
		done
		echo "vector started"
		;;
	look,?*) echo "vector $(cat /run/vector)" ;;
	stop,?*)
		kill "$vector_pid"
		wait "$vector_pid"
		vector_pid=
		echo "vector stopped $(cat /run/vector)"
		;;
	start\ *,*) echo "error vector: already started" ;;
	*) echo "error vector: not started" ;;
	esac
}

# Bursts of 16 lines that no reply looks like; the pause leaves the CPU and the console to others.
spew()
{
	local line=0 stop=
	trap 'stop=1' TERM
	until [ "$stop" ]; do
		echo "noise $line the quick brown fox jumps over the lazy dog 0123456789"
		line=$((line + 1))
		[ $((line % 16)) -ne 0 ] || usleep 20000
	done
	echo "lines=$line" >/run/spew.out
}

spew_pid=
command_spew()
{
	case $1,$spew_pid in
	start,)
		spew </dev/null &
		spew_pid=$!
		echo "spew started"
		;;
	stop,?*)
		kill "$spew_pid"
		wait "$spew_pid"
		spew_pid=
		echo "spew stopped $(cat /run/spew.out)"
		;;
	start,*) echo "error spew: already started" ;;
	*) echo "error spew: not started" ;;
	esac
}

mem_sum()
{
	sha256sum /run/mem/pages | cut -d ' ' -f 1
}

command_mem()
{
	if dd if=/dev/urandom of=/run/mem/pages bs=1M count="$1" 2>/dev/null; then
		echo "mem $(mem_sum)"
	else
		rm -f /run/mem/pages
		echo "error mem: $1 MiB do not fit"
	fi
}

command_memsum()
{
	if [ -e /run/mem/pages ]; then
		echo "memsum $(mem_sum)"
	else
		echo "error memsum: no mem before"
	fi
}

# The agent may live on the disk; it is started again a moment later.
release_disk()
{
	local left=10
	if [ "$disk_mount" = / ]; then
		mount -o remount,ro /
		return
	fi
	until killall -q qemu-ga; umount "$disk_mount" 2>/dev/null; do
		[ $((left -= 1)) -gt 0 ] || return 1
		usleep 100000
	done
}

# Check the disk as it would be found by somebody else: unmounted, or read-only if it is the root.
command_fsck()
{
	local status
	if ! boot_has_disk; then
		echo "error fsck: no disk"
		return
	fi
	sync
	release_disk || { echo "error fsck: the disk is busy" && return; }
	e2fsck -fn /dev/vda >/run/fsck.out 2>&1 </dev/null
	status=$?
	if [ "$disk_mount" = / ]; then
		mount -o remount,rw /
	else
		mount -t ext4 /dev/vda "$disk_mount"
	fi
	if [ $status -eq 0 ]; then
		echo "fsck clean"
	else
		echo "fsck damaged status=$status"
	fi
}

command_sh()
{
	local out status
	out=$(sh -c "$1" 2>&1 </dev/null)
	status=$?
	[ -z "$out" ] || printf '%s\n' "$out"
	echo "sh exit $status"
}

command_poweroff()
{
	echo "poweroff"
	/sbin/shutdown poweroff
}

command_reboot()
{
	echo "reboot"
	/sbin/shutdown reboot
}
