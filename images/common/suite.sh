# Packages of another Debian suite or architecture than the machine's own: an apt configuration that knows nothing else.
# Sourced by bash. Nothing is installed, and apt's own lists and settings stay as they are.

# suite_prepare DIR SUITE [ARCHITECTURE]: fetch SUITE's package lists into DIR, from the mirror that apt uses.
suite_prepare()
{
	local dir=$1 mirror architecture=${3:-$(dpkg --print-architecture)}
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	mirror=$(suite_release) || return
	echo "deb ${mirror% *} $2 main" >"$dir/sources"
	# Also where what apt runs asks for it.
	printf 'APT::Architecture "%s";\nAPT::Architectures { "%s"; };\n' "$architecture" "$architecture" >"$dir/conf"
	suite_apt "$dir" apt-get update
}

# suite_release: `MIRROR CODENAME` of the Debian release whose packages apt knows.
suite_release()
{
	local line
	line=$(apt-get indextargets --format "\$(REPO_URI) \$(CODENAME)" "Created-By: Packages" \
		"Origin: Debian" "Label: Debian" "Component: main" | grep -v -- '-[a-z]*$' | head -n 1)
	[ -n "$line" ] || { echo "apt knows no Debian release: run apt-get update" >&2; return 1; }
	echo "$line"
}

# suite_apt DIR PROGRAM ARGUMENT…: apt-get or apt-cache, with what suite_prepare made.
suite_apt()
{
	local dir=$1 program=$2
	shift 2
	APT_CONFIG=$dir/conf "$program" -qq -o Dir::Etc::sourcelist="$dir/sources" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$dir/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$dir/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=0 "$@"
}
