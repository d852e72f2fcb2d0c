#!/bin/bash
# The Debian package: it builds from the files of this tree, alone, lintian finds nothing in it, and the program in it
# boots a machine. Prints `ok - `, `not ok - ` and `skip - ` lines.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

claim() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        status=1
        tail -n 40 "$work/said" | sed 's/^/    /'
    fi
}

for tool in dpkg-buildpackage dh lintian; do
    if ! command -v "$tool" >/dev/null; then
        echo "skip - package # $tool is not installed"
        exit 0
    fi
done

version=$(dpkg-parsechangelog -S Version)
source=$work/torpor-$version

copy() {
    mkdir "$source" && git ls-files -z --cached --others --exclude-standard | cpio --null -pdm --quiet "$source"
}

build() {
    (cd "$source" && dpkg-buildpackage -us -uc "-j$(nproc)")
}

no_findings() {
    lintian --no-tag-display-limit --info --pedantic "$work"/torpor_*.changes >"$work/lint" && ! [ -s "$work/lint" ] ||
        { cat "$work/lint"; false; }
}

# What the program loads by itself is among its dependencies.
libraries_are_depended_on() {
    local soname package fields
    fields=$(dpkg-deb -f "$work"/torpor_*.deb Depends Recommends)
    for soname in $(grep -rhoE --include='*.c' '\.soname = "[^"]*"' . | cut -d'"' -f2 | sort -u); do
        package=$(dpkg -S "*/$soname" | cut -d: -f1 | head -n 1)
        grep -qw -- "$package" <<<"$fields" || { echo "$soname is of $package"; return 1; }
    done
}

# Debian's flags bring calls of their own (hardening), which the sandboxes must know: with the tiny kernel.
machines_run() {
    mkdir -p "$work/build/images"
    dpkg-deb -x "$work"/torpor_*.deb "$work/root" && cp "$work/root/usr/bin/torpor" "$work/build" &&
        cp "${BUILD:-build}/images/tiny.elf" "$work/build/images" || return
    for part in machine sandbox wake; do
        BUILD=$work/build tests/kvm/verbs.sh "$part" || return
    done
}

claim 'its version is the program'"'"'s' grep -q "^VERSION *:= $version\$" Makefile
claim 'the tree can be copied' copy
claim 'it builds' build
claim 'lintian finds nothing' no_findings
claim 'it depends on what the program loads' libraries_are_depended_on
claim 'its program runs machines' machines_run
exit $status
