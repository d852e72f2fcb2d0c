# Volumes, and the verbs of disks: volume create, ls, inspect, rm; --volume; disk create, import, info.

volumes() {
    works volume create data 16M
    same "the name printed" "$out" data
    refuses 125 "is there already" volume create data
    refuses 125 "no name" volume create a/b
    refuses 125 "too small" volume create tiny 64K
    refuses 125 "too small" volume create tiny 0
    refuses 125 "tiny:0: 0 bytes are too small" run --kernel "$TINY" --volume tiny:0
    works volume inspect data
    file=$(json "d['file']" <<<"$out")
    same "its size" "$(stat -c %s "$file")" 16777216
    e2fsck -fn "$file" >fsck 2>&1 || fail "$(<fsck)"
    same "its mode" "$(stat -c %a "$file")" 600
    works volume ls
    matches "volume ls" "$out" $'NAME .*\ndata +16[.]0 '
    works run -d --name web --kernel "$TINY" -m 64M --volume data --volume more:8M,id=second
    until_true is_ready web
    answers web disks "disks 2 16777216 8388608"
    answers web "dserial 0" "dserial data"
    answers web "dserial 1" "dserial second"
    works volume ls --json
    same "volume ls --json" "$(json "[(v['name'], v['used']) for v in d]" <<<"$out")" \
        "[('data', [{'machine': 'web', 'id': 'data', 'mode': 'rw'}]), ('more', [{'machine': 'web', 'id': 'second', 'mode': 'rw'}])]"
    refuses 125 "volume data is in use by machine web" volume rm data
    refuses 125 "in use by machine web \(rw\)" run --kernel "$TINY" --volume data
    answers web "dwrite 0 20000 8 5" "dwrite ok"
    works gc
    works save web --disks outside
    refuses 125 "volume more is disk second of the machine that is saved in .*/web.torpor, which cannot wake without it" volume rm more
    # What it was saved with is what counts, not a name.
    printf x | dd of="$XDG_DATA_HOME/torpor/volumes/more.raw" conv=notrunc status=none
    works_silently volume rm more
    refuses 125 "disk second outside" resume -d web --volume data
    refuses 122 "no volume more" volume rm more
    works volume ls --json
    same "what is left" "$(json "[v['name'] for v in d]" <<<"$out")" "['data']"
    refuses 125 "16 MiB, not 32" run --kernel "$TINY" --volume data:32M
}
try volumes "volume create, ls, inspect, rm; --volume makes one; one that is used is not removed, nor by gc"

volume_wakes() {
    works run -d --name web --kernel "$TINY" -m 64M --volume data:16M
    until_true is_ready web
    answers web "dwrite 0 20000 8 5" "dwrite ok"
    works save web --disks outside
    works resume -d web --volume data
    answers web "dread 0 20000 8 5" "dread ok"
}
try volume_wakes "resume --volume: a machine wakes with the volume that it was saved with"

volume_of_a_service() {
    local service
    refuses 125 "add --disks=outside" run --on-term save --volume data:16M --kernel "$TINY"
    refuses 125 "it is for --on-term=save" run --disks outside --volume data:16M --kernel "$TINY"
    "$TORPOR" run --on-term save --disks outside --volume data:16M -n shop -m 64M --kernel "$TINY" >said 2>&1 &
    service=$!
    until_true is_ready shop
    answers shop "dwrite 0 20000 8 5" "dwrite ok"
    kill "$service"
    wait "$service"
    same "its end: $(<said)" "$?" 0
    "$TORPOR" resume --on-term save --disks outside --volume data shop >said 2>&1 &
    service=$!
    until_true is_running shop
    answers shop "dread 0 20000 8 5" "dread ok"
    kill "$service"
    wait "$service"
    same "its end: $(<said)" "$?" 0
}

is_running() { # NAME
    "$TORPOR" ps -q | grep -qx "$1"
}
try volume_of_a_service "--on-term save --disks outside: a service wakes again with its volume"

disk_verbs() {
    works_silently disk create a.raw 8M
    same "its size" "$(stat -c '%s %b' a.raw)" "8388608 0"
    refuses 125 "File exists" disk create a.raw 8M
    refuses 125 "no size" disk create b.raw 0
    works disk info a.raw
    matches info "$out" $'format +raw\nsize +8.0 MiB\nallocated +0.0 MiB\nin use +no'
    boot web --disk a.raw,rw,id=x
    works disk info a.raw
    matches info "$out" "in use +written by machine web \(rw\)"
    works disk info --json a.raw
    same "as JSON" "$(json "d['locked'], d['used'][0]['id'], d['size']" <<<"$out")" "written x 8388608"
    printf 'QFI\xfb' >short.qcow2
    works disk info short.qcow2
    matches info "$out" "qcow2 of version 0"
}
try disk_verbs "disk create, info: size, what it takes, and who has it"

# A qcow2 header of version 3, and what a hostile one would have instead.
qcow2() { # FILE OFFSET BYTES
    python3 - "$@" <<'PYTHON'
import struct, sys

head = bytearray(struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, 1 << 20, 0, 1, 196608, 65536, 1, 0, 0, 0, 0, 0, 4, 104))
if len(sys.argv) > 2:
    at, data = int(sys.argv[2]), bytes.fromhex(sys.argv[3])
    head[at:at + len(data)] = data
open(sys.argv[1], "wb").write(head + bytes(1 << 18))
PYTHON
}

hostile_images() {
    echo secret >secret
    qcow2 backed.qcow2 8 0000000000000200
    qcow2 outside.qcow2 72 0000000000000004
    qcow2 crypt.qcow2 32 00000002
    qcow2 huge.qcow2 24 7ffffffffffffe00
    printf 'KDMV' >vmdk && head -c 1M /dev/zero >>vmdk
    printf '# Disk DescriptorFile\nRW 2048 FLAT "secret" 0\n' >descriptor.vmdk
    printf conectix >vhd && head -c 52 /dev/zero >>vhd && printf '\0\0\0\4' >>vhd && head -c 448 /dev/zero >>vhd
    refuses 125 "backing file" disk import backed.qcow2 x.raw
    refuses 125 "in another file" disk import outside.qcow2 x.raw
    refuses 125 "encrypted" disk import crypt.qcow2 x.raw
    refuses 125 "no size for a disk" disk import huge.qcow2 x.raw
    refuses 125 "in other files" disk import vmdk x.raw
    refuses 125 "VMDK descriptor" disk import descriptor.vmdk x.raw
    refuses 125 "parent" disk import vhd x.raw
    refuses 122 "No such file" disk import nowhere.qcow2 x.raw
    [ ! -e x.raw ] || fail "x.raw was made"
}
try hostile_images "disk import refuses images that name other files, are encrypted, or have no size of a disk"

imports() {
    local format
    command -v qemu-img >/dev/null || skip "no qemu-img here"
    truncate -s 4M a.raw
    boot web --disk a.raw,rw
    answers web "dwrite 0 100 64 5" "dwrite ok"
    works_silently kill web
    for format in qcow2 vmdk vpc; do
        qemu-img convert -f raw -O $format a.raw "a,$format:x" 2>/dev/null ||
            qemu-img convert -f raw -O $format a.raw "./a,$format:x"
        works disk import "./a,$format:x" $format.raw
        matches "what it says" "$out" "^$format.raw: 4.[0-9] MiB$"
        cmp -n 4194304 a.raw $format.raw || fail "$format: another disk"
        [ "$(stat -c %b $format.raw)" -lt 1000 ] || fail "$format: it is not sparse"
        refuses 125 "File exists" disk import "./a,$format:x" $format.raw
    done
    # It reaches no other file, whatever its header says.
    qemu-img create -q -f qcow2 -b "$PWD/a.raw" -F raw backed.qcow2
    refuses 125 "backing file" disk import backed.qcow2 x.raw
    same "what is left behind" "$(find . -name '.?*')" ""
}
try imports "disk import: qcow2, VMDK and VHD become the raw disk that they were made of"

# The file has no name before it is whole. (The program that fills it goes on for a moment.)
killed_import() {
    local importer
    command -v qemu-img >/dev/null || skip "there is no qemu-img"
    qemu-img create -q -f qcow2 big.qcow2 1G
    qemu-io -c "write -q -P 7 0 1G" big.qcow2 >/dev/null
    for signal in KILL TERM; do
        "$TORPOR" disk import big.qcow2 big.raw 2>said &
        importer=$!
        until_true pgrep -P $importer
        kill -$signal $importer
        wait $importer && fail "it was too fast to be killed"
        same "what is left behind" "$(ls -A)" $'big.qcow2\nsaid'
    done
    works disk import big.qcow2 big.raw
}
try killed_import "disk import that is killed leaves nothing"
