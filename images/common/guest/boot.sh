# From the kernel's hands to a machine with devices, a disk and a console. Sourced by busybox sh,
# as process 1.

boot_mounts()
{
	# The shell runs applets by way of /proc/self/exe; before /proc is there, name the program.
	/bin/busybox mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev
	mount -t tmpfs -o mode=755 tmpfs /run
}

boot_modules()
{
	local module
	while read -r module; do
		insmod "/lib/modules/$module.ko"
	done </lib/modules/order
}

# boot_wait FILE: wait up to 5 s for a device's driver to make FILE.
boot_wait()
{
	local left=100
	until [ -e "$1" ]; do
		[ $((left -= 1)) -gt 0 ] || return 1
		usleep 50000
	done
}

# boot_has_disk: whether there is a first virtio disk. Its driver has been loaded, and the
# devices of a machine are all there from the start, so there is nothing to wait for.
boot_has_disk()
{
	[ -b /dev/vda ]
}

# boot_console_name: torpor.console=NAME if given, else the last console=NAME, else ttyS0.
boot_console_name()
{
	local word chosen= last=ttyS0
	for word in $(cat /proc/cmdline); do
		case $word in
		torpor.console=*) chosen=${word#*=} ;;
		console=*) last=${word#*=} ;;
		esac
	done
	chosen=${chosen:-$last}
	echo "${chosen%%,*}"
}

# boot_console: talk through the console from here on. The kernel could not open hvc0 for us, its
# driver being a module, so open it (again) whatever it is.
boot_console()
{
	local device
	device=/dev/$(boot_console_name)
	boot_wait "$device" || device=/dev/console
	exec <"$device" >"$device" 2>&1
	stty -echo
}
