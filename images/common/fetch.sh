# Debian packages: fetched once into a cache, unpacked, never installed. Sourced by bash.
# The caller holds the recipe lock, so nobody else writes to the cache meanwhile.

# Where packages come from: a folder that suite_prepare has made, or what apt knows by itself.
fetch_suite=

fetch_apt()
{
	if [ -n "$fetch_suite" ]; then
		suite_apt "$fetch_suite" "$@"
	else
		"$@"
	fi
}

# fetch_into DIR PACKAGE…: unpack the files of apt's candidates of the packages below DIR.
# apt checks the archive's signature and the packages' digests; a cached file has passed both.
fetch_into()
{
	local dir=$1 names name missing=()
	shift
	names=$(fetch_apt apt-get download --print-uris "$@" | awk '{ print $2 }')
	mkdir -p "$cache"
	for name in $names; do
		[ -e "$cache/$name" ] || missing+=("${name%%_*}")
	done
	if [ ${#missing[@]} -gt 0 ]; then
		fetch_debs "${missing[@]}"
	fi
	for name in $names; do
		dpkg -x "$cache/$name" "$dir"
	done
}

# fetch_debs PACKAGE…: download into the cache; what is in the cache is always whole.
fetch_debs()
{
	local part
	part=$(mktemp -d "$cache/part.XXXXXX")
	(cd "$part" && fetch_apt apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@")
	mv "$part"/*.deb "$cache/"
	rmdir "$part"
}

# fetch_kernel_package META: the packages that META, linux-image-cloud-amd64 say, stands for today. Since 7.0 kernel
# and modules have packages of their own.
fetch_kernel_package()
{
	local image
	image=$(fetch_apt apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$image" ] || return
	echo "$image"
	fetch_apt apt-cache depends "$image" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-[0-9].*\)/\1/p'
}

# What apt knows of the packages that are named on standard input.
fetch_show()
{
	local names
	mapfile -t names
	fetch_apt apt-cache show --no-all-versions "${names[@]}"
}

# fetch_libraries PACKAGE…: the shared-library packages that PACKAGE… depend on, to any depth.
# Following only packages of section libs leaves out what maintainer scripts want (adduser, perl).
# apt takes its time to start, so each round asks about a whole generation of packages.
fetch_libraries()
{
	local -A seen=()
	local round=("$@") found package
	while [ ${#round[@]} -gt 0 ]; do
		mapfile -t found < <(fetch_apt apt-cache depends -i "${round[@]}" |
			sed -n 's/^ *Depends: \([^<]*\)$/\1/p' | sort -u | fetch_show |
			awk '/^Package: / { name = $2 } /^Section: libs$/ { print name }')
		round=()
		for package in "${found[@]}"; do
			[ -z "${seen[$package]:-}" ] || continue
			seen[$package]=1
			round+=("$package")
			echo "$package"
		done
	done
}
