# The lab hosts' QEMU: the newer one that Debian has in its backports, downloaded into the cache and never installed,
# or else the installed one. Before QEMU 10, KVM inside has no AVX for its guests (README.md tells).
# A cached one is used for ever; remove build/lab/emulator* to get a newer one.

. "$(dirname "${BASH_SOURCE[0]}")/../../images/common/suite.sh"

# The first version that needs no replacement.
emulator_good=10
# Minutes until what could not be had is asked for again.
emulator_retry=1440

# emulator_find CACHE: fills the caller's array `emulator` with the program and its first arguments.
emulator_find() {
	local cache=$1 tree=$1/emulator lock
	emulator=(qemu-system-x86_64)
	[ "$(emulator_major "${emulator[0]}")" -lt "$emulator_good" ] || return 0
	exec {lock}>"$cache/emulator.lock"
	flock "$lock"
	[ -e "$tree" ] || emulator_was_refused "$cache" || emulator_download "$cache" >"$cache/emulator.log" 2>&1 ||
		emulator_refuse "$cache"
	exec {lock}>&-
	[ ! -e "$tree" ] ||
		emulator=("$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios")
}

# What a PROGRAM calls itself, `10.0.2 (Debian …)`.
emulator_version() {
	"$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version //p'
}

emulator_major() {
	local version
	version=$(emulator_version "$1")
	echo "${version%%.*}"
}

emulator_was_refused() {
	[ -n "$(find "$1/emulator.refused" -mmin "-$emulator_retry" 2>/dev/null)" ]
}

emulator_refuse() {
	say "no newer QEMU from backports ($(tail -n 1 "$1/emulator.log")): the installed one is used"
	rm -rf "$1/emulator.new"
	: >"$1/emulator.refused"
}

# The directory appears under its name when all of it is there and the program runs with the libraries that are
# installed.
emulator_download() {
	local cache=$1 new=$1/emulator.new release
	release=$(suite_release) || return
	rm -rf "$new" "$cache/emulator.refused"
	mkdir "$new" || return
	suite_prepare "$new/apt" "${release#* }-backports" || return
	(
		cd "$new" &&
			suite_apt "$new/apt" apt-get download qemu-system-x86 qemu-system-common qemu-system-data seabios &&
			for package in *.deb; do
				dpkg -x "$package" . || exit
			done &&
			rm -r ./*.deb apt
	) || return
	[ "$(emulator_major "$new/usr/bin/qemu-system-x86_64")" -ge "$emulator_good" ] || {
		echo "what was downloaded does not run"
		return 1
	}
	mv "$new" "$cache/emulator"
}
