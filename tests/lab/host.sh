# One KVM host: a QEMU process whose CPU has SVM, or EL2 (arm64). Reads lab's options (arch, gic, mem, smp, hosts), directories
# (run, out, root, repository), the array emulator, and tsc_khz.
# shellcheck disable=SC2154

# Starts it in the background; its pid is $!. Everything it writes goes to the run directory.
host_start() {
	local name=$1 cpu=$2 kernel=$3 initramfs=$4 network=()
	local machine=(-M q35) shared=()
	[ "$hosts" = 1 ] || host_network "$name"
	if [ "$arch" = arm64 ]; then
		machine=(-M "virt,virtualization=on,gic-version=$gic")
		shared=(-virtfs "local,path=${repository//,/,,},mount_tag=repository,security_model=none,readonly=on,multidevs=remap")
	fi
	bound "${emulator[@]}" -accel tcg,thread=multi "${machine[@]}" -cpu "$(host_cpu "$cpu")" \
		-m "$mem" -smp "$smp" -nodefaults -display none -no-reboot \
		-serial "file:$run/console.$name" \
		-kernel "$kernel" -initrd "$initramfs" -append "$(host_command_line "$name")" \
		-virtfs "local,path=${root//,/,,},mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
		-virtfs "local,path=${run//,/,,},mount_tag=run,security_model=none" \
		-virtfs "local,path=${out//,/,,},mount_tag=out,security_model=none,multidevs=remap" \
		"${shared[@]}" "${network[@]}" </dev/null >"$run/qemu.$name" 2>&1 &
}

# Pointer authentication by QEMU's own algorithm: the architecture's takes two thirds of an emulated host's time.
host_cpu() {
	case $arch,$1 in
	arm64,max) echo "$1,pauth-impdef=on" ;;
	arm64,* | *+svm*) echo "$1" ;;
	*) echo "$1,+svm" ;;
	esac
}

# The first host's clock is the TSC, the second one's the HPET: with the one KVM keeps a master clock
# for its guests, with the other none. QEMU's TSC is that of this machine, whose frequency the kernel is told:
# beside other load it measures a tenth of that, and its seconds are then that much too short.
# Words that mean nothing to the kernel become init's environment.
host_command_line() {
	local clock=${tsc_khz:+tsc_early_khz=$tsc_khz }
	[ "$1" != host1 ] || clock+="tsc=reliable "
	if [ "$arch" = arm64 ]; then
		echo "console=ttyAMA0 loglevel=3 cryptomgr.notests panic=-1 mitigations=off lab_host=$1 lab_hosts=$hosts lab_repository=$repository"
		return
	fi
	echo "console=ttyS0 loglevel=3 cryptomgr.notests panic=-1 no_timer_check ${clock}mitigations=off lab_host=$1 lab_hosts=$hosts"
}

# Fills the caller's `network`. Datagram sockets let the hosts start in either order.
host_network() {
	local name=$1 peer=host1
	[ "$name" != host1 ] || peer=host2
	network=(
		-netdev "dgram,id=lan,local.type=unix,local.path=$run/lan.$name,remote.type=unix,remote.path=$run/lan.$peer"
		-device "virtio-net-pci,netdev=lan,mac=52:54:00:4d:00:0${name#host},romfile=,host_mtu=65000"
	)
}

# One line on why a host ended before its time.
host_epitaph() {
	local why
	why=$(grep -aom 1 'Kernel panic.*' "$run/console.$1" | tr -d '\r') ||
		why=$(tail -n 1 "$run/qemu.$1")
	echo "$1 ended before the command did${why:+: $why}"
}
