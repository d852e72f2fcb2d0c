# The lab hosts' kernel: Debian's newest, downloaded into the cache and never installed.
# A cached kernel is used for ever; remove build/lab to get a newer one.

# Prints the directory that holds vmlinux and lib/modules.
kernel_fetch() {
	local cache=$1 lock
	exec {lock}>"$cache/kernel.lock"
	flock "$lock"
	[ -e "$cache/kernel" ] || kernel_download "$cache" >&2
	exec {lock}>&-
	printf '%s\n' "$cache/kernel"
}

# The directory appears under its name when all of it is there.
kernel_download() {
	local cache=$1 package
	package=$(kernel_package)
	[ -n "$package" ] || die "no package linux-image-amd64: run apt-get update"
	say "fetching $package"
	rm -rf "$cache/kernel.new"
	mkdir "$cache/kernel.new"
	(
		cd "$cache/kernel.new"
		apt-get -qq -o APT::Sandbox::User=root download "$package"
		dpkg -x "$package"_*.deb .
		rm "$package"_*.deb
		kernel_unpack boot/vmlinuz-* >vmlinux
		busybox depmod -b "$PWD" "${package#linux-image-}"
	) || die "cannot fetch $package with apt-get download"
	mv "$cache/kernel.new" "$cache/kernel"
}

# The meta package depends on the newest kernel.
kernel_package() {
	apt-cache depends linux-image-amd64 |
		sed -n 's/.*Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -n 1
}

# Prints the ELF kernel inside a bzImage (fields of the Linux x86 boot protocol): QEMU starts it
# by its PVH note, which spares the emulated CPU three seconds of decompression.
kernel_unpack() {
	local sectors offset length
	sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
	# The payload's last four bytes are its unpacked size, not part of the xz stream.
	tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" | head -c $((length - 4)) | xz -dc
}
