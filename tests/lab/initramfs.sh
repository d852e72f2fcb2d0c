# The lab hosts' initramfs: busybox, the kernel modules a KVM host needs, and guest/.

# In the order of loading: root over 9p, an overlay on it, nested SVM, the network between hosts, and
# what builds networks inside one.
initramfs_modules='virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci
	netfs fscache 9pnet 9pnet_virtio 9p overlay irqbypass ccp kvm kvm-amd
	failover net_failover virtio_net tun llc stp bridge veth'

# What guest/init uses of busybox.
initramfs_applets='mkdir mount insmod cp switch_root'

# Prints the path of the initramfs for that kernel and busybox, made only when an ingredient changed.
initramfs_build() {
	local cache=$1 kernel=$2 guest=$3 busybox=$4 name
	name=$cache/initramfs-$(initramfs_digest "$kernel" "$guest" "$busybox").cpio
	[ -e "$name" ] || initramfs_write "$name" "$kernel" "$guest" "$busybox"
	printf '%s\n' "$name"
}

initramfs_digest() {
	local kernel=$1 guest=$2 busybox=$3
	{
		ls "$kernel/lib/modules"
		cat "$busybox" "${BASH_SOURCE[0]}" "$guest"/*
	} | sha256sum | cut -c 1-16
}

# Concurrent labs may both write it; each renames a whole file of its own.
initramfs_write() {
	local name=$1 kernel=$2 guest=$3 busybox=$4 cache=${1%/*} tree module applet
	tree=$(mktemp -d "$cache/initramfs.XXXXXX")
	mkdir -p "$tree/bin" "$tree/lab/bin" "$tree/modules"
	for module in $initramfs_modules; do
		find "$kernel/lib/modules" -name "$module.ko" -exec cp {} "$tree/modules" \;
		# It is built in, or of another architecture.
		[ -e "$tree/modules/$module.ko" ] || continue
		echo "$module" >>"$tree/modules/order"
	done
	cp "$busybox" "$tree/bin/busybox"
	for applet in $initramfs_applets; do
		ln -s busybox "$tree/bin/$applet"
	done
	cp "$busybox" "$guest"/lab-* "$tree/lab/bin"
	cp "$guest/session" "$tree/lab"
	cp "$guest/init" "$tree/init"
	(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$tree.cpio"
	mv "$tree.cpio" "$name"
	rm -r "$tree"
	find "$cache" -maxdepth 1 -name 'initramfs-*.cpio' -mtime +1 -delete
}
