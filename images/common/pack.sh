# Trees into what a machine boots from: modules, libraries, initramfs, disk image. Sourced by bash.

# What Debian's cloud kernel needs as modules on torpor's machine: virtio devices, and the power
# button with the input device its presses come out of. ext4 and the serial port are built in.
# On arm64 that kernel has no driver of a power key.
guest_modules=(virtio_mmio virtio_blk virtio_console virtio_rng virtio_balloon virtio_net evdev)
[ "${guest_arch:-amd64}" != amd64 ] || guest_modules+=(button)

# pack_modules KERNELTREE ROOT MODULE…: copy the modules and all they depend on to
# ROOT/lib/modules, and list them there in loading order. Each module names its direct
# dependencies in its .modinfo section, a run of NUL-terminated strings.
pack_modules()
{
	local tree=$1 root=$2 module
	shift 2
	mkdir -p "$root/lib/modules"
	: >"$root/lib/modules/order"
	for module in "$@"; do
		pack_module "$tree" "$root" "$module"
	done
}

pack_module()
{
	local tree=$1 dir=$2/lib/modules module=${3//-/_} file needed
	if grep -qx "$module" "$dir/order"; then
		return
	fi
	# File names have '-' where module names have '_': virtio_rng lives in virtio-rng.ko.
	file=$(find "$(pack_module_folder "$tree")" -name "${module//_/[-_]}.ko*" -print -quit)
	if [ -z "$file" ]; then
		pack_is_built_in "$tree" "$module" && return
		echo "the kernel has no module $module" >&2
		return 1
	fi
	case $file in
	*.xz) xz -dc "$file" >"$dir/$module.ko" ;;
	*) cp "$file" "$dir/$module.ko" ;;
	esac
	for needed in $(sed -zn 's/^depends=//p' "$dir/$module.ko" | tr ',\0' '  '); do
		pack_module "$tree" "$2" "$needed"
	done
	echo "$module" >>"$dir/order"
}

# Modules are compressed since 6.12, and since 7.0 below usr.
pack_module_folder()
{
	[ -d "$1/lib/modules" ] && echo "$1/lib/modules" || echo "$1/usr/lib/modules"
}

pack_is_built_in()
{
	find "$(pack_module_folder "$1")" -name modules.builtin -exec grep -q "/${2//_/[-_]}\.ko\$" {} +
}

# pack_libraries TREE ROOT PROGRAM…: copy programs (paths inside TREE) to the same place below
# ROOT, with the loader and the shared libraries they need.
pack_libraries()
{
	local tree=$1 root=$2 program
	shift 2
	for program in "$@"; do
		pack_elf "$tree" "$root" "$program"
	done
}

pack_elf()
{
	local tree=$1 root=$2 path=$3 needed file
	[ ! -e "$root/$path" ] || return 0
	mkdir -p "$root/$(dirname "$path")"
	cp -L "$tree/$path" "$root/$path"
	for needed in $(readelf -ld "$root/$path" |
		sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p; s/.*program interpreter: \(.*\)\]/\1/p'); do
		case $needed in
		/*) file=${needed#/} ;;
		*) file=$(cd "$tree" && find lib usr/lib -name "$needed" -print -quit) ;;
		esac
		if [ -z "$file" ]; then
			echo "no package fetched has $needed, which $path needs" >&2
			return 1
		fi
		pack_elf "$tree" "$root" "$file"
	done
}

# pack_probe FILE: compile the static helper.
pack_probe()
{
	# As make has it: words.
	# shellcheck disable=SC2086
	${CC:-gcc} -std=gnu17 -O2 -s -static -Wall -Wextra -o "$1" "$images"/common/probe/*.c -pthread
}

# pack_busybox TREE ROOT: the static busybox is shell and tools in one; its shell runs the
# other applets without links to them.
pack_busybox()
{
	mkdir -p "$2/bin"
	cp "$1/bin/busybox" "$2/bin/busybox"
	ln -s busybox "$2/bin/sh"
}

# pack_guest TREE ROOT: what every guest's userland has: busybox, the probe, e2fsck, the shared
# scripts, the power button's action, the wake hooks, and the empty folders to mount on. The agent
# wants to find hwclock.
pack_guest()
{
	local tree=$1 root=$2
	pack_busybox "$tree" "$root"
	mkdir -p "$root"/{dev,proc,sys,run,tmp,data,sbin,lib/guest,etc/acpi/PWRF,etc/torpor/wake.d}
	ln -s ../bin/busybox "$root/sbin/hwclock"
	pack_probe "$root/bin/probe"
	cp "$tree/sbin/e2fsck.static" "$root/sbin/e2fsck"
	cp "$images"/common/guest/*.sh "$root/lib/guest/"
	install -m 755 -t "$root/lib/guest" "$images"/common/guest/{agent,dhcp-client,dhcp-lease}
	install -m 755 -t "$root/etc/torpor/wake.d" "$images"/common/guest/wake.d/*
	install -m 755 "$images/common/guest/shutdown" "$root/sbin/shutdown"
	install -m 755 "$images/common/guest/power-button" "$root/etc/acpi/PWRF/00000080"
}

# pack_root_initramfs TREE ROOT MODULE…: the initramfs of a guest that lives on its disk: drivers,
# and enough to hand over.
pack_root_initramfs()
{
	local tree=$1 root=$2
	shift 2
	pack_busybox "$tree" "$root"
	pack_modules "$tree" "$root" "$@"
	mkdir -p "$root"/{dev,proc,sys,run,root,lib/guest}
	cp "$images/common/guest/boot.sh" "$root/lib/guest/"
	install -m 755 "$images/common/guest/initramfs-init" "$root/init"
}

# pack_initrd ROOT FILE: ROOT as an initramfs, the same bytes for the same tree.
pack_initrd()
{
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) |
		gzip -9n >"$2"
}

# pack_disk FILE SIZE LABEL [ROOT]: a sparse ext4 image, holding ROOT's files if given.
pack_disk()
{
	truncate -s "$2" "$1"
	mke2fs -q -t ext4 -L "$3" -m 0 -I 256 -E root_owner=0:0,lazy_itable_init=0 \
		${4:+-d "$4"} "$1"
	# Inode tables and journal are written zeroes: make them holes again.
	fallocate --dig-holes "$1"
}
