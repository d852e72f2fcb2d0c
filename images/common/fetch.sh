# Debian packages: fetched once into a cache, unpacked, never installed. Sourced by bash.
# The caller holds the recipe lock, so nobody else writes to the cache meanwhile.

# fetch_deb PACKAGE: make sure the cache holds apt's candidate of PACKAGE; prints its path.
# apt checks the archive's signature and the package's digest; a cached file has passed both.
fetch_deb()
{
	local package=$1 name
	name=$(apt-get download --print-uris "$package" 2>/dev/null | awk '{ print $2 }')
	if [ -z "$name" ]; then
		echo "apt knows no package $package (has 'apt-get update' been run?)" >&2
		return 1
	fi
	mkdir -p "$cache"
	if [ ! -e "$cache/$name" ]; then
		local part
		part=$(mktemp -d "$cache/part.XXXXXX")
		(cd "$part" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" >&2)
		mv "$part/$name" "$cache/$name"
		rmdir "$part"
	fi
	echo "$cache/$name"
}

# fetch_into DIR PACKAGE…: unpack the packages' files below DIR.
fetch_into()
{
	local dir=$1 package deb
	shift
	for package in "$@"; do
		deb=$(fetch_deb "$package")
		dpkg -x "$deb" "$dir"
	done
}

# fetch_kernel_package: the package that linux-image-cloud-amd64 stands for today.
fetch_kernel_package()
{
	apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1
}

# fetch_libraries PACKAGE…: the shared-library packages that PACKAGE… depend on, to any depth.
# Following only packages of section libs leaves out what maintainer scripts want (adduser, perl).
fetch_libraries()
{
	local -A seen=()
	local queue=("$@") package
	while [ ${#queue[@]} -gt 0 ]; do
		package=${queue[0]}
		queue=("${queue[@]:1}")
		for package in $(apt-cache depends -i "$package" | sed -n 's/^ *Depends: //p'); do
			[ -z "${seen[$package]:-}" ] || continue
			seen[$package]=1
			apt-cache show --no-all-versions "$package" 2>/dev/null |
				grep -qx 'Section: libs' || continue
			echo "$package"
			queue+=("$package")
		done
	done
}
