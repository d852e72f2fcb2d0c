# What runs beside the protocol, from boot to the end: network and agent. Sourced by busybox sh as
# process 1.

# services_start NAME: NAME is the host name, unless the kernel command line has given one.
services_start()
{
	identity_first "$1"
	network_start
	if [ -x /usr/sbin/qemu-ga ]; then
		service_keep /lib/guest/agent
	fi
}

# service_keep COMMAND…: run it in the background, and again whenever it ends. Status 69 says that
# this machine has no use for it (EX_UNAVAILABLE of sysexits.h).
service_keep()
{
	while :; do
		"$@"
		[ $? -ne 69 ] || break
		usleep 300000
	done </dev/null >/dev/null 2>&1 &
}

# network_start: eth0 by DHCP, and by the kernel itself for IPv6. Nobody waits for it: the card may
# be missing, the server may be silent.
network_start()
{
	ip link set lo up
	if [ -e /sys/class/net/eth0 ]; then
		ip link set eth0 up
		service_keep /lib/guest/dhcp-client
	fi
}
