# Hosts of arm64: Debian's kernel and userland of that architecture, downloaded into the cache and never installed. This
# machine's root file system is another architecture's, so the hosts get a tree of their own for it, beside this repository.

. "$(dirname "${BASH_SOURCE[0]}")/../../images/common/suite.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../../images/common/fetch.sh"

# What a host's session, torpor and the scenarios use.
arm64_packages=(base-files base-passwd bash busybox-static coreutils diffutils e2fsprogs findutils gawk grep hostname iproute2
	kmod mount procps python3 python3-minimal sed tar util-linux
	docker-registry libarchive13 libcurl4 libfdt1 libjansson4 libmicrohttpd12 libslirp0 libssl3 libsystemd0 libzstd1)

# Prints the directory that holds kernel/vmlinux, kernel/lib/modules and root.
arm64_fetch() {
	local cache=$1/arm64 lock
	mkdir -p "$cache"
	exec {lock}>"$cache/lock"
	flock "$lock"
	if [ "$(cat "$cache/packages" 2>/dev/null)" != "${arm64_packages[*]}" ]; then
		arm64_download "$cache" >&2 || die "cannot fetch the hosts of arm64"
	fi
	exec {lock}>&-
	printf '%s\n' "$cache"
}

arm64_download() {
	local cache=$1 package release
	say "fetching a kernel and a userland of arm64"
	release=$(suite_release)
	rm -rf "$cache/new" "$cache/apt"
	mkdir -p "$cache/new/kernel" "$cache/new/root"
	suite_prepare "$cache/apt" "${release#* }" arm64
	fetch_suite=$cache/apt
	mapfile -t package < <(fetch_kernel_package linux-image-arm64)
	[ ${#package[@]} -gt 0 ] || return
	suite_apt "$cache/apt" apt-get --download-only --no-install-recommends -y install "${arm64_packages[@]}" >/dev/null
	for deb in "$cache"/apt/cache/archives/*.deb; do
		dpkg -x "$deb" "$cache/new/root"
	done
	(cd "$cache/new/kernel" && suite_apt "$cache/apt" apt-get download "${package[@]}")
	for deb in "$cache"/new/kernel/*.deb; do
		dpkg -x "$deb" "$cache/new/kernel"
	done
	rm "$cache"/new/kernel/*.deb
	mv "$cache"/new/kernel/boot/vmlinuz-* "$cache/new/kernel/vmlinux"
	busybox depmod -b "$cache/new/kernel" "$(basename "$cache"/new/kernel/lib/modules/*)"
	# What the packages' scripts would have done.
	cp "$cache/new/root/usr/share/base-passwd/passwd.master" "$cache/new/root/etc/passwd"
	cp "$cache/new/root/usr/share/base-passwd/group.master" "$cache/new/root/etc/group"
	ln -s bash "$cache/new/root/bin/sh"
	ln -s gawk "$cache/new/root/usr/bin/awk"
	rm -rf "$cache/apt" "$cache/kernel" "$cache/root"
	mv "$cache/new/kernel" "$cache/new/root" "$cache"
	rmdir "$cache/new"
	printf '%s' "${arm64_packages[*]}" >"$cache/packages"
}
