# What tells this machine from its clones: host name, machine-id, host key. Sourced by busybox sh, as
# process 1 and in a wake hook.

# random_hex BYTES
random_hex()
{
	head -c "$1" /dev/urandom | hexdump -v -e '/1 "%02x"'
}

# identity_first NAME: at boot. A root file system on a disk keeps what an earlier boot has made.
identity_first()
{
	if [ "$(hostname)" = "(none)" ]; then
		hostname "$1"
	fi
	if [ ! -e /etc/machine-id ]; then
		identity_renew </dev/null &
	fi
}

# identity_renew: another machine-id, another host key. The file is an SSH server's key where there is
# dropbear's tool to make one, else a bare seed; nobody but its owner may read either.
identity_renew()
{
	local key=/etc/torpor/host_key said
	random_hex 16 >/etc/machine-id || return
	rm -f "$key"
	if [ -x /usr/bin/dropbearkey ]; then
		said=$(/usr/bin/dropbearkey -t ed25519 -f "$key" 2>&1) || { echo "$said" >&2 && return 1; }
	else
		(umask 077 && head -c 32 /dev/urandom >"$key")
	fi
}
