# The frame of every recipe: arguments, lock, "has anything changed?", publication. Sourced by
# bash from images/NAME/build, which then calls recipe_run.
#
# Two builders may start at once (tests in parallel): one works, the other waits and then finds
# all done. Results appear by rename, so a machine running from an old file keeps it.

#
# GUEST_ARCH=arm64 makes what a guest of that architecture boots, in build/images/NAME-arm64, on any machine: by packages of
# it, and for what is compiled its compiler (make deps-arm64).

set -euo pipefail
images=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
build=$(dirname "$images")/build/images
cache=$build/cache

guest_arch=${GUEST_ARCH:-$(dpkg --print-architecture)}
case $guest_arch in
amd64) guest_triplet=x86_64-linux-gnu ;;
arm64) guest_triplet=aarch64-linux-gnu ;;
*) echo "images: there are no guests of $guest_arch" >&2 && exit 2 ;;
esac

. "$images/common/suite.sh"
. "$images/common/fetch.sh"
. "$images/common/pack.sh"

# Where packages of another architecture than this machine's come from.
recipe_architecture()
{
	[ "$guest_arch" != "$(dpkg --print-architecture)" ] || return 0
	fetch_suite=$build/apt-$guest_arch
	suite_prepare "$fetch_suite" "$(suite_release | cut -d' ' -f2)" "$guest_arch"
	CC="$guest_triplet-gcc --sysroot=$(dirname "$build")/sysroot-$guest_arch"
}

# recipe_id NAME: a digest of everything the result depends on, except the packages' versions:
# a newer kernel in the archive is no reason to rebuild, `rm -r build/images` is.
recipe_id()
{
	(cd "$images" && find common "$1" -type f ! -name '*.md' ! -name 'selftest*' | LC_ALL=C sort |
		xargs sha256sum | sha256sum)
}

# recipe_run NAME [-o DIR]: the function make_files, given an empty scratch folder and a folder for
# the results, makes vmlinuz, initrd.img, disk.img and the like there; recipe_run publishes them in DIR.
recipe_run()
{
	local name=$1 out=$build/$1 id file
	[ "$guest_arch" = "$(dpkg --print-architecture)" ] || out+=-$guest_arch
	shift
	while getopts o: option; do
		case $option in
		o) out=$OPTARG ;;
		*) echo "usage: images/$name/build [-o DIR]" >&2 && exit 2 ;;
		esac
	done
	mkdir -p "$build" "$out"
	exec {lock}>"$build/lock"
	flock "$lock"
	id=$(recipe_id "$name")
	if [ "$(cat "$out/recipe.id" 2>/dev/null)" = "$id" ]; then
		return
	fi
	recipe_architecture
	work=$(mktemp -d "$out/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/scratch" "$work/result"
	make_files "$work/scratch" "$work/result"
	for file in "$work"/result/*; do
		mv "$file" "$out/"
	done
	echo "$id" >"$out/recipe.id"
}
