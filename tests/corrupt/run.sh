#!/bin/bash
# Bad input, hosts that lack something, and savers that are killed: each time one clear line, the exit
# status of base/err.h, and nothing lost. `run.sh PART`: those of one part; all parts run two at a time, each in a
# home of its own.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=$PWD/tests/corrupt

# Mounts are needed (other /dev, full and read-only disks), and must vanish with this process.
if [ -z "${TORPOR_OWN_MOUNTS:-}" ] && unshare -m true 2>/dev/null; then
    TORPOR_OWN_MOUNTS=1 exec unshare -m "$0" "$@"
fi
if [ $# = 0 ]; then
    # What a part says stays together.
    printf '%s\n' damage ended input |
        xargs -P 2 -I PART bash -c 'said=$(tests/corrupt/run.sh PART 2>&1); status=$?; echo "$said"; exit "$status"'
    exit
fi
part=$1
. tests/kvm/cli.bash
. "$here/kills.bash"

try_in() { # PART FUNCTION NAME
    [ "$part" != "$1" ] || try "$2" "$3"
}

need_mounts() {
    [ -n "${TORPOR_OWN_MOUNTS:-}" ] || skip "only root can mount"
}

need_kvm() {
    [ -w /dev/kvm ] || skip "/dev/kvm cannot be opened"
}

# What the rows below find in their folder.
make_input() {
    echo "just words" >text
    head -c 20000 "$TINY" >cut.elf
    head -c 60 "$TINY" >head.elf
    head -c 300000 /dev/urandom >random
    : >empty
    mkdir folder
    truncate -s 1000 odd.img
    tar cf strange.tar text
    gzip -c "$TINY" >kernel.gz
    ln -s nowhere dangling
}

# status | pattern of the line | arguments
rows() {
    make_input
    local want regex text arguments
    while IFS='|' read -r want regex text; do
        eval "arguments=($text)"
        refuses "$want" "$regex" "${arguments[@]}"
    done
    works ps -aq
    same "machines behind it" "$out" ""
}

# What cannot even open /dev/kvm does not come as far as to look at a kernel.
kernels() {
    need_kvm
    rows <<'ROWS'
125|kernel: not a kernel|run --kernel text
125|kernel: not a kernel|run --kernel random
125|kernel: not a kernel|run --kernel head.elf
125|kernel: not a kernel|run --kernel kernel.gz
125|kernel: truncated|run --kernel cut.elf
125|kernel empty: the file is empty|run --kernel empty
125|kernel folder: not a file|run --kernel folder
122|kernel missing: No such file|run --kernel missing
122|kernel dangling: No such file|run --kernel dangling
122|initrd missing: No such file|run --kernel "$TINY" --initrd missing
125|initrd folder: not a file|run --kernel "$TINY" --initrd folder
125|--kernel is missing|run
125|kernel: not a kernel|run -d --kernel text
125|kernel: not a kernel|build -o out.torpor --kernel text
125|kernel: truncated|build -o out.torpor --kernel cut.elf
122|kernel missing: No such file|build -o out.torpor --kernel missing
ROWS
    [ ! -e out.torpor ] || fail "a file was left"
}
try_in input kernels "not a kernel, a truncated one, none: run, run -d, build"

sizes() {
    rows <<'ROWS'
125|--memory: 0 is not between|run --kernel "$TINY" -m 0
125|--memory: 5T is not between|run --kernel "$TINY" -m 5T
125|--memory: 1023K is not between|run --kernel "$TINY" -m 1023K
125|--memory: 1025K is not a multiple|run --kernel "$TINY" -m 1025K
125|--memory: '99999999999999999999' is not|run --kernel "$TINY" -m 99999999999999999999
125|--memory: '-5' is not|run --kernel "$TINY" -m -5
125|--memory: '' is not|run --kernel "$TINY" -m ''
125|--memory: '1G5' is not|run --kernel "$TINY" -m 1G5
125|--vcpus: 0 is not between|run --kernel "$TINY" -c 0
125|--vcpus: 1000 is not between|run --kernel "$TINY" -c 1000
125|--vcpus: '-1' is not|run --kernel "$TINY" -c -1
125|--vcpus: 'two' is not|run --kernel "$TINY" -c two
125|--cpu: 'v9' is not|run --kernel "$TINY" --cpu v9
125|--console: 'tty9' is not|run --kernel "$TINY" --console tty9
125|--append: longer than|run --kernel "$TINY" --append "$(printf %70000s)"
ROWS
}
try_in input sizes "absurd sizes, counts and models"

disks() {
    rows <<'ROWS'
122|disk missing: No such file|run --kernel "$TINY" --disk missing
125|disk odd.img: 1000 bytes are not a multiple of 512|run --kernel "$TINY" --disk odd.img
125|disk folder: not a file|run --kernel "$TINY" --disk folder
125|disk empty: the file is empty|run --kernel "$TINY" --disk empty
125|no file is named|run --kernel "$TINY" --disk ,ro
125|disk id|run --kernel "$TINY" --disk text,id=
125|two disks have the id x|run --kernel "$TINY" --disk text,id=x --disk random,id=x
125|--disk: more than|run --kernel "$TINY" $(for i in {1..20}; do echo --disk odd.img; done)
122|disk missing: No such file|build -o out.torpor --kernel "$TINY" --disk missing
ROWS
}
try_in input disks "disks: missing, not whole sectors, folders, too many, the same id twice"

unreadable() {
    [ "$(id -u)" = 0 ] || skip "needs root, to become somebody else"
    chmod 711 "$SCRATCH" "$HOME" && chmod 755 .
    truncate -s 1M secret.img && chmod 600 secret.img
    install -m 600 "$TINY" secret.elf
    somebody build -o /dev/null --kernel "$TINY" --disk secret.img
    one_line "disk secret.img: Permission denied" && same status "$status" 125 || fail "$(<"$SCRATCH/err")"
    somebody build -o /dev/null --kernel secret.elf
    one_line "kernel secret.elf: Permission denied" && same status "$status" 125 || fail "$(<"$SCRATCH/err")"
}

# As a user without rights, with a home of their own.
somebody() { # ARGUMENT…
    local own=$SCRATCH/files/somebody
    mkdir -p "$own" && chown 65534 "$own" && chmod 700 "$own"
    XDG_RUNTIME_DIR=$own XDG_STATE_HOME=$own XDG_DATA_HOME=$own HOME=$own \
        setpriv --reuid 65534 --clear-groups "$TORPOR" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
    status=$?
}
try_in input unreadable "a disk or kernel that may not be read"

names() {
    local long
    long=$(printf 'a%.0s' {1..64})
    rows <<ROWS
125|is not a name|run --kernel "\$TINY" --name ''
125|is not a name|run --kernel "\$TINY" --name a/b
125|is not a name|run --kernel "\$TINY" --name ..
125|is not a name|run --kernel "\$TINY" --name .hidden
125|is not a name|run --kernel "\$TINY" --name=-a
125|is not a name|run --kernel "\$TINY" --name 'a b'
125|is not a name|run --kernel "\$TINY" --name $long
125|is not a name|resume --name a/b text
125|is not a name|rm ../x
125|is not a name|wait ../x
125|is not a name|logs ../x
ROWS
    need_kvm
    boot taken
    refuses 125 "taken is in use" run --kernel "$TINY" --name taken
    refuses 125 "taken is in use" run -d --kernel "$TINY" --name taken
    answers taken "ping x" "pong x"
}
try_in input names "bad names; a name in use, whose machine goes on"

foreign() {
    mkdir -p image/blobs/sha256
    echo '{"imageLayoutVersion":"1.0.0"}' >image/oci-layout
    echo '{"schemaVersion":2,"manifests":[]}' >image/index.json
    tar cf image.tar -C image .
    cp "$TINY" tiny.elf
    local verb
    for verb in verify inspect compat resume run; do
        rows <<ROWS
121|text: not a torpor file|$verb text
121|random: not a torpor file|$verb random
121|empty: not a torpor file|$verb empty
121|strange.tar: not a torpor file|$verb strange.tar
121|kernel.gz: not a torpor file|$verb kernel.gz
121|tiny.elf: not a torpor file|$verb tiny.elf
121|image.tar: |$verb image.tar
121|image: not a torpor file|$verb image
122|missing.torpor|$verb missing.torpor
122|dangling|$verb dangling
ROWS
        # Of another folder `run` would make a root.
        [ "$verb" = run ] || refuses 121 "folder: not a torpor file" "$verb" folder
        rm -r folder dangling
    done
}
try_in input foreign "foreign files: text, noise, other tars, an image of something else, nothing"

no_kvm() {
    need_mounts
    mkdir dev
    mount -t tmpfs tmpfs dev
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/urandom c 1 9
    rebound() { unshare -m sh -c 'mount --bind dev /dev && exec "$@"' - "$TORPOR" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null; }
    rebound run --kernel "$TINY"
    same "status without /dev/kvm" "$?" 125
    one_line "/dev/kvm" || fail "$(<"$SCRATCH/err")"
    rebound doctor
    same "status of doctor" "$?" 125
    grep -q "/dev/kvm" "$SCRATCH/out" || fail "doctor does not say what is missing: $(<"$SCRATCH/out")"
    cp -a dev/null dev/kvm
    rebound run --kernel "$TINY"
    same "status where /dev/kvm is something else" "$?" 120
    one_line "/dev/kvm" || fail "$(<"$SCRATCH/err")"
    rm dev/kvm
    mknod -m 600 dev/kvm c 10 232
    chmod 711 "$SCRATCH" "$HOME" && chmod 755 .
    somebody_without() { unshare -m sh -c 'mount --bind dev /dev && exec setpriv --reuid 65534 --clear-groups "$@"' - \
        env HOME="$PWD/own" XDG_RUNTIME_DIR="$PWD/own" XDG_STATE_HOME="$PWD/own" "$TORPOR" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null; }
    mkdir own && chown 65534 own && chmod 700 own
    somebody_without run --kernel "$TINY"
    same "status without permission" "$?" 125
    one_line "/dev/kvm.*(permission|Permission)" || fail "$(<"$SCRATCH/err")"
    somebody_without doctor
    same "status of doctor" "$?" 125
    umount dev
}
try_in input no_kvm "no /dev/kvm, another device in its place, no permission for it; doctor too"

# Both must refuse: the one that looks for damage, and the one that would run it.
both_refuse() { # STATUS REGEX FILE
    local verb
    for verb in verify "resume -d --name damaged"; do
        call $verb "$3"
        [ "$status" = "$1" ] && one_line "$2" || fail "$(report_call $verb "$3")" "wanted: status $1, '$2'"
    done
}

truncated() {
    local size at
    make_live whole.torpor
    size=$(stat -c %s whole.torpor)
    for at in 0 1 511 512 513 1024 2048 4096 $((size / 3)) $((size / 2)) $((size - 20000)) $((size - 4608)) $((size - 1025)) $((size - 1)); do
        head -c "$at" whole.torpor >cut.torpor
        both_refuse 121 "cut.torpor" cut.torpor
    done
    cat whole.torpor - >longer.torpor <<<more
    both_refuse 121 "longer.torpor" longer.torpor
    works ps -q
    same "machines behind it" "$out" ""
}

flipped() {
    truncate -s 1M disk.img
    make_live whole.torpor --disk disk.img
    works resume -d whole.torpor
    answers source "dwrite 0 0 64 1" "dwrite ok"
    works save source -o disk.torpor
    "$here/damage.py" flips "$TORPOR" disk.torpor 120 || exit 1
}

# Flat, for packed frames are looked at when they are used (tests/kvm/verbs/verify.bash).
flipped_resume() {
    local name start length
    make_live --flat whole.torpor
    while read -r name start length; do
        cp whole.torpor flipped.torpor
        printf '\x81' | dd of=flipped.torpor bs=1 seek=$((start + length / 2)) conv=notrunc status=none
        cmp -s whole.torpor flipped.torpor && continue
        call resume -d --name damaged flipped.torpor
        [ "$status" = 121 ] && one_line "flipped.torpor" || fail "$name:" "$(report_call resume flipped.torpor)"
    done < <("$here/damage.py" regions whole.torpor)
    works resume -d whole.torpor
    is_same_guest source
}

# pattern | what is changed; all digests above it are repaired
wrong_host() {
    local code regex
    make_live whole.torpor
    while IFS='|' read -r regex code; do
        "$here/damage.py" edit whole.torpor edited.torpor "$code" || fail "cannot edit: $code"
        refuses 120 "$regex" compat edited.torpor
        refuses 120 "$regex" resume -d edited.torpor
    done <<'ROWS'
it is for aarch64|c["arch"] = "aarch64"; c["cpu"] = {"profile": "v8", "id_registers": {}}; c["needs"] = {"page_size": 4096, "counter_hz": 1, "gic": 3, "capabilities": []}
machine type torpor-9 is unknown|c["machine"] = "torpor-9"
made by a newer torpor \(format 3.0\)|c["format"] = "3.0"
made by a newer torpor \(format 2\)|m["config"]["mediaType"] = "application/vnd.torpor.config.v2+json"
CPU lacks .*vmx|c["cpu"]["words"][0][3] = 0xffffffff
ROWS
    call compat --json edited.torpor
    same "status of compat --json" "$status" 120
    same "compat --json" "$(json "d['compatible'], 'vmx' in d['reason']" <"$SCRATCH/out")" "False True"
}

newer_minor() {
    make_live whole.torpor
    "$here/damage.py" edit whole.torpor minor.torpor 'c["format"] = "1.7"; c["news"] = [1]'
    works verify minor.torpor
    works compat minor.torpor
    call resume -d --name minor minor.torpor
    same status "$status" 0
    is_same_guest minor
}

lies() {
    local regex code
    make_live whole.torpor
    while IFS='|' read -r regex code; do
        "$here/damage.py" edit whole.torpor lie.torpor "$code" || fail "cannot edit: $code"
        both_refuse 121 "$regex" lie.torpor
    done <<'ROWS'
"stranger" is unknown|c["stranger"] = 1
memory's size|c["memory"] = 1 << 40
not a whole number of frames|c["memory"] += 1
"vcpus"|c["vcpus"] = 1000
"vcpus"|c["vcpus"] = 0
"generation"|c["live"]["generation"] = -1
too many CPU|c["cpu"]["words"] = [[0] * 4] * 100000
disk 0|c["disks"] = [{"id": "d", "size": 512, "readonly": True}]
a cold appliance with [a-z]+|del c["live"]
state is|del c["live"]; c.pop("needs", None); c.pop("ports", None)
config names is missing|m["layers"] = [l for l in m["layers"] if l["annotations"]["org.torpor.role"] != "state"]
two blobs|m["layers"].append(m["layers"][0])
bytes, not|m["layers"][2]["size"] = 1 << 60
SHA-256 differs|files["blobs/sha256/" + "0" * 64] = b"x"
stranger|files["stranger"] = b"x"
ROWS
}

evil_name() {
    make_live whole.torpor
    "$here/damage.py" edit whole.torpor evil.torpor 'c["live"]["name"] = "../../evil"'
    call resume -d evil.torpor
    if [ "$status" = 0 ]; then
        matches "the name it got" "$(<"$SCRATCH/out")" '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$'
    else
        [ "$status" = 121 ] && one_line "name" || fail "$(report_call resume evil.torpor)"
    fi
    [ -z "$(find "$SCRATCH" -name evil)" ] || fail "$(find "$SCRATCH" -name evil)"
}

# Whatever becomes of a save, the guest is asked whether it lives, and the old file whether it is whole.
survives() { # FILE CHECKSUM
    answers keeper "ping alive" "pong alive"
    answers keeper "check 16 2 3" "check ok"
    [ -z "$1" ] || same "the old file" "$(sha256sum <"$1")" "$2"
}

full_disk() {
    local sum
    need_mounts
    mkdir small
    mount -t tmpfs -o size=4M tmpfs small
    boot keeper
    answers keeper "fill 16 2 3" "filled 512"
    works save -R keeper -o small/file.torpor --flat
    sum=$(sha256sum <small/file.torpor)
    answers keeper "fill 32 8 4" "filled 2048"
    refuses 125 "No space left" save keeper -o small/file.torpor --flat
    survives small/file.torpor "$sum"
    same "what is in the folder" "$(ls -A small)" file.torpor
    works verify small/file.torpor
    refuses 125 "No space left" save -R keeper -o small/other.torpor --flat
    same "what is in the folder" "$(ls -A small)" file.torpor
    works save keeper -o file.torpor
    works resume -d file.torpor
    survives "" ""
    umount small
}

# A container image whose root is larger than the room: for the file, and for what run keeps.
full_image() {
    local made=(--kernel "$TINY" --modules mods) name
    need_mounts
    PYTHONPATH=$here/../lab python3 - <<'EOF' || fail "no image"
import os
import oci_image
layer = oci_image.Layer()
layer.folder("etc")
layer.add("etc/data", os.urandom(6 << 20))
oci_image.write("oci", [layer], {"Entrypoint": ["/bin/app"]})
EOF
    mkdir -p mods/kernel small "$HOME/.cache"
    for name in virtio_mmio virtio_blk virtio_console virtio_net ext4; do
        printf 'ELF\0depends=\0' >"mods/kernel/$name.ko"
    done
    mount -t tmpfs -o size=2M tmpfs small
    refuses 125 "No space left" build -o small/out.torpor --from oci:oci:latest "${made[@]}"
    same "what is in the folder" "$(ls -A small)" ""
    mount -t tmpfs -o size=2M tmpfs "$HOME/.cache"
    TMPDIR=$PWD/small refuses 125 "No space left" run -d --name web -m 64M --append loud "${made[@]}" oci:oci:latest
    same "machines" "$("$TORPOR" ps -aq)" ""
    same "what is kept" "$(find "$HOME/.cache" small -type f)" ""
    umount "$HOME/.cache" small
    works_silently build -o small/out.torpor --from oci:oci:latest "${made[@]}"
    works run -d --name web -m 64M --append loud "${made[@]}" oci:oci:latest
    until_true is_ready web
}

full_state() {
    need_mounts
    mount -t tmpfs -o size=256K tmpfs "$XDG_STATE_HOME"
    boot ended
    dd if=/dev/zero of="$XDG_STATE_HOME/filler" bs=4k 2>/dev/null
    works_silently kill ended
    call wait ended
    same "wait" "$status $(<"$SCRATCH/out")" "137 killed"
    umount "$XDG_STATE_HOME"
}

unwritable() {
    need_mounts
    mkdir frozen folder
    mount -t tmpfs -o ro tmpfs frozen
    boot keeper
    answers keeper "fill 16 2 3" "filled 512"
    refuses 125 "Read-only file system" save keeper -o frozen/file.torpor
    refuses 122 "No such file" save keeper -o missing/file.torpor
    refuses 125 "folder" save keeper -o folder
    refuses 125 "Not a directory" save keeper -o "$TINY/file.torpor"
    survives "" ""
    refuses 122 "No such file" build --kernel "$TINY" -o missing/file.torpor
    refuses 125 "Read-only file system" build --kernel "$TINY" -o frozen/file.torpor
    [ -z "$(find folder -mindepth 1)" ] || fail "left: $(find folder)"
    umount frozen
}

no_room_for_memory() {
    boot keeper
    answers keeper "fill 16 2 3" "filled 512"
    # Where the host has less, a warning comes first.
    (ulimit -v 100000 && call run --kernel "$TINY" -m 64G && [ "$status" = 125 ] &&
        sed -i '/ MiB of memory, this host /d' "$SCRATCH/err" && one_line "run: reserve 65536 MiB of memory") ||
        fail "$(report_call run -m 64G)"
    survives "" ""
}

# Has this process a temporary file with something in it, with a name in folder out or without one?
has_temporary() { # PID
    local fd
    for fd in "/proc/$1/fd"/*; do
        case $(readlink "$fd") in
        "$PWD"/out/*' (deleted)' | "$PWD"/out/.*.torpor.??????) [ -s "$fd" ] && return 0 ;;
        esac
    done
    return 1
}

# A verb writes over a file and gets a signal in the middle of that. Without /proc a temporary cannot be
# linked later: then it has a name from the beginning.
cut_off() { # named|unnamed SIGNAL OUTPUT ARGUMENT…
    local how=$1 signal=$2 output=$3 hide=() attempt sum pid status
    shift 3
    [ "$how" = unnamed ] || hide=(unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' -)
    echo "the old file" >"out/$output"
    sum=$(sha256sum <"out/$output")
    for attempt in {1..20}; do
        env --default-signal=INT,TERM,HUP,QUIT "${hide[@]}" "$TORPOR" "$@" >/dev/null 2>&1 &
        pid=$!
        while [ -d "/proc/$pid/fd" ] && ! has_temporary "$pid"; do :; done
        kill -STOP "$pid" 2>/dev/null && kill "-$signal" "$pid" && kill -CONT "$pid"
        wait "$pid"
        status=$?
        [ "$status" = 0 ] || break
        echo "the old file" >"out/$output"
    done
    same "status of $1 after $signal ($how)" "$status" $((128 + $(kill -l "$signal")))
    same "the old file of $1 after $signal ($how)" "$(sha256sum <"out/$output")" "$sum"
    if [ "$how $signal" = "named KILL" ]; then
        matches "what $1 left" "$(ls -A out)" "^\.${output%.torpor}\.torpor\.[a-z0-9]{6}"
        works extract -o "out/$output" small.torpor kernel
    fi
    same "what is in the folder after $1 and $signal ($how)" "$(ls -A out)" "$output"
    rm -r out && mkdir out
}

interrupted() {
    local how signal hows=unnamed
    [ -z "${TORPOR_OWN_MOUNTS:-}" ] || hows="unnamed named"
    mkdir out
    head -c 128M /dev/urandom >disk.img
    works build -o big.torpor --kernel "$TINY" --disk disk.img
    works build -o small.torpor --kernel "$TINY"
    for how in $hows; do
        for signal in INT TERM HUP QUIT KILL; do
            cut_off "$how" "$signal" built.torpor build -o out/built.torpor --kernel "$TINY" --disk disk.img
            cut_off "$how" "$signal" converted.torpor convert --packed=6 big.torpor out/converted.torpor
            cut_off "$how" "$signal" disk.raw extract -o out/disk.raw big.torpor disk.0
        done
    done
}
try_in ended interrupted "build, convert and extract end by a signal: the old file is whole, nothing is left behind"

# Nothing that a verb prints of a stranger's file moves the cursor: paths, names in tars, members of JSON,
# the kernel's command line.
prints_no_controls() { # ARGUMENT…
    call "$@"
    if cat "$SCRATCH/out" "$SCRATCH/err" | LC_ALL=C grep -aqP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]'; then
        fail "$(report_call "$@" | cat -v)"
    fi
}

escapes() {
    local evil=$'e\e]0;title\a\e[2J\u009b\u202e\rx' verb file
    works build -o plain.torpor --kernel "$TINY" --append "$evil"
    "$here/damage.py" edit plain.torpor member.torpor "c['e\\x1b[2J\\x9b'] = 1" || fail "cannot edit"
    "$here/damage.py" edit plain.torpor entry.torpor "files['e\\x1b[2J'] = b'x'" || fail "cannot edit"
    cp plain.torpor "$evil.torpor"
    cp "$TINY" "$evil"
    for file in plain.torpor member.torpor entry.torpor "$evil.torpor" "$evil" "missing-$evil"; do
        for verb in inspect verify ls compat tree "extract -C ." "sign -s alice.key" "convert --flat"; do
            # shellcheck disable=SC2086,SC2046 # some have options
            prints_no_controls $verb "$file" $([ "${verb%% *}" != convert ] || echo "out.torpor")
        done
        prints_no_controls build -o out.torpor --kernel "$file"
        prints_no_controls resume -d "$file"
        prints_no_controls build -o "missing/$file" --kernel "$TINY"
    done
    mkdir -p "$XDG_DATA_HOME/torpor"
    cp "$evil.torpor" "$XDG_DATA_HOME/torpor"
    prints_no_controls tree
    prints_no_controls ls
    prints_no_controls "$evil"
    prints_no_controls run --kernel "$TINY" --name "$evil"
    prints_no_controls inspect "$evil"
    works inspect plain.torpor
    matches "the command line" "$out" 'cmdline +e\?\]0;title\?\?\[2J'
}
try_in input escapes "control characters in paths, names in tars, members and the command line: not printed"

# The modes of what is made do not come from the umask.
modes() {
    umask 000
    works keygen --no-passphrase -p alice.pub -s alice.key
    works build -o file.torpor --kernel "$TINY"
    works sign file.torpor -s alice.key -o signed.torpor
    works convert --flat file.torpor flat.torpor
    works extract -o kernel file.torpor kernel
    works lan create cable
    if [ -w /dev/kvm ]; then
        boot open
        works save -R open -o live.torpor
        works save open
    fi
    same "writable by others" "$(find "$SCRATCH/home" "$SCRATCH/files" -mindepth 1 -perm /022 ! -type l \
        ! -path "$XDG_RUNTIME_DIR" ! -path "$XDG_STATE_HOME" ! -path "$XDG_DATA_HOME")" ""
    same "the secret key" "$(stat -c %a alice.key)" 600
    same "the public key" "$(stat -c %a alice.pub)" 644
}
try_in input modes "with umask 000 nothing is made that others can write"

if [ -w /dev/kvm ]; then
    try_in damage truncated "truncated at fourteen places, or longer than it was: refused by verify and resume"
    try_in damage flipped "120 flipped bits in all regions of a file with disks: every one found by verify"
    try_in damage flipped_resume "a changed byte in the middle of every region: refused by resume"
    try_in damage wrong_host "another architecture, machine type, format or CPU: 120, and why; compat --json"
    try_in damage newer_minor "a newer minor format is read"
    try_in damage lies "files whose digests are right and whose contents lie"
    try_in damage evil_name "a name in the file that would lead out of the folder"
    try_in damage full_state "no space for the record of a machine's end: it was taken when the machine began"
    try_in damage full_disk "no space while saving: the old file is whole, the machine goes on, nothing is left behind"
    try_in damage full_image "no space for a container image's root: build and run say so, and leave nothing"
    try_in damage unwritable "targets that cannot be written: the machine goes on"
    try_in damage no_room_for_memory "no room for the memory asked for"
    ROUNDS=20
    try_in ended killed_savers "20 kills at random moments of a save: the old file or the new one, whole; nothing left behind"
elif [ "$part" = damage ]; then
    echo "skip - damaged files and killed savers # /dev/kvm cannot be opened"
fi
