# Disks that are written through: --disk F,rw and what a save, a resume and other users of the file make of it.

sum_of() { # FILE
    sha256sum <"$1"
}

# The sectors that the guest wrote are in the file: a machine of its own reads them.
holds() { # FILE SECTOR COUNT SEED
    boot reader --disk "$1,ro"
    answers reader "dread 0 $2 $3 $4" "dread ok"
    works_silently kill reader
}

is_gone() { # NAME
    ! "$TORPOR" ps -q | grep -qx "$1"
}

write_through() {
    truncate -s 8M data.raw
    boot web --disk data.raw,rw
    answers web "disks" "disks 1 8388608"
    answers web "dserial 0" "dserial disk0"
    answers web "dwrite 0 0 256 7" "dwrite ok"
    answers web "dread 0 0 256 7" "dread ok"
    answers web "dwrite 0 1001 3 8" "dwrite ok"
    answers web "dflush 0" "dflush ok"
    [ "$(stat -c %b data.raw)" -ge 256 ] || fail "nothing is in the file"
    [ -z "$(find "$XDG_STATE_HOME" -size +1M)" ] || fail "something was written elsewhere"
    works_silently kill web
    holds data.raw 0 256 7
    holds data.raw 1001 3 8
    boot web --disk data.raw,rw
    answers web "ddiscard 0 0 256" "ddiscard ok"
    same "what is left" "$(stat -c %b data.raw)" 8
    answers web "dzeroes 0 1000 8" "dzeroes ok"
    works_silently kill web
    cmp -s data.raw <(head -c 8M /dev/zero) || fail "it was not zeroed"
}
try write_through "--disk F,rw: what the guest writes is in the file; discard and zeroes reach it"

modes() {
    truncate -s 1M data.raw
    boot web --disk data.raw,scratch --disk other=data.raw
    answers web disks "disks 2 1048576 1048576"
    answers web "dserial 1" "dserial other"
    answers web "dwrite 0 0 8 3" "dwrite ok"
    works_silently kill web
    cmp -s data.raw <(head -c 1M /dev/zero) || fail "scratch was written"
    refuses 125 "exclude each other" run --kernel "$TINY" --disk data.raw,ro,rw
    refuses 125 "no suffix" run --kernel "$TINY" --disk data.raw,writable
    refuses 125 "rw is for torpor run" build -o a.torpor --kernel "$TINY" --disk data.raw,rw
}
try modes "--disk F,scratch, ID=F; two modes and rw of an appliance are refused"

# Whatever the folder's file system makes of it.
direct() {
    truncate -s 8M data.raw
    refuses 125 "direct is for a disk that is rw" run --kernel "$TINY" --disk data.raw,direct
    "$TORPOR" run -d --name web --kernel "$TINY" --disk data.raw,rw,direct 2>refused ||
        if grep -q "leave out ,direct" refused; then skip "$(<refused)"; else fail "$(<refused)"; fi
    works inspect web --json
    matches inspect "$out" '"direct": true'
    answers web "dwrite 0 0 256 7" "dwrite ok"
    answers web "dwrite 0 1001 3 8" "dwrite ok"
    answers web "dread 0 0 256 7" "dread ok"
    answers web "ddiscard 0 8 8" "ddiscard ok"
    answers web "dflush 0" "dflush ok"
    matches answer "$(say web "dbench 0 1 4096 32 500 1")" '^dbench [0-9]+$'
    answers web "dwrite 0 1001 3 8" "dwrite ok"
    works save web --disks inside -o web.torpor
    works resume -d web.torpor
    answers web "dread 0 1001 3 8" "dread ok"
    works_silently kill web
    holds data.raw 1001 3 8
}
try direct "--disk F,rw,direct: what the guest reads and writes passes no page cache, and a save has it"

queues() {
    truncate -s 1M data.raw
    boot web -c 3 --disk data.raw
    answers web "dwrite 0 0 8 3" "dwrite ok"
    works save web -o web.torpor
    works inspect web.torpor
    matches inspect "$out" "disk +disk0, 1 MiB, 3 queues"
    same format "$("$TORPOR" inspect --json web.torpor | json "d['appliance']['format']")" 1.4
    works resume -d web.torpor
    answers web "dread 0 0 8 3" "dread ok"
    works save -R web -o again.torpor
    works inspect again.torpor
    matches inspect "$out" "disk +disk0, 1 MiB, 3 queues"
    works_silently kill web
}
try queues "a disk has a queue for each vCPU, and keeps them when it is saved"

two_users() {
    truncate -s 1M data.raw
    boot one --disk data.raw,rw
    refuses 125 "data.raw is in use by machine one \(rw\)" run --kernel "$TINY" --disk data.raw,rw
    truncate -s 1M twice.raw
    ln twice.raw again.raw
    refuses 125 "again.raw is the same file as disk .*twice.raw of this machine" \
        run --kernel "$TINY" --disk twice.raw,rw --disk b=again.raw,rw
    refuses 125 "data.raw is in use by machine one \(rw\)" run --kernel "$TINY" --disk data.raw,ro
    refuses 125 "data.raw is in use by machine one \(rw\)" run --kernel "$TINY" --disk data.raw
    # Another name of it is the same file.
    ln -s data.raw link
    refuses 125 "in use by machine one" run --kernel "$TINY" --disk link,rw
    works_silently kill one
    boot one --disk data.raw,ro
    boot two --disk data.raw
    refuses 125 "in use by machine (one|two)" run --kernel "$TINY" --disk data.raw,rw
    refuses 125 "in use by machine (one|two)" run --kernel "$TINY" --disk data.raw,ro,share=no
    works_silently kill one two
    boot one --disk data.raw,ro,share=no
    refuses 125 "in use by machine one \(ro\)" run --kernel "$TINY" --disk data.raw,ro
    kill -9 "$("$TORPOR" ps --json | json "d[0]['pid']")"
    until_true is_gone one
    boot two --disk data.raw,rw
}
try two_users "one writer or several readers: others are refused by the machine's name; a killed one holds nothing"

qemu_locked() { # FILE
    grep -q OFDLCK "/proc/$qemu/fdinfo/"* 2>/dev/null
}

qemu_and_torpor() {
    local qemu
    command -v qemu-system-x86_64 >/dev/null || skip "no QEMU here"
    truncate -s 1M data.raw
    qemu-system-x86_64 -M none -nodefaults -display none -S -monitor none \
        -blockdev driver=raw,node-name=d,file.driver=file,file.filename=data.raw -M microvm,acpi=off -accel tcg \
        -device virtio-blk-device,drive=d >"$SCRATCH/qemu" 2>&1 &
    qemu=$!
    until_true qemu_locked
    refuses 125 "in use by process $qemu \(qemu" run --kernel "$TINY" --disk data.raw,rw
    refuses 125 "in use by process $qemu \(qemu" run --kernel "$TINY" --disk data.raw,ro
    kill "$qemu"
    wait "$qemu" 2>/dev/null
    boot web --disk data.raw,rw
    timeout "$PATIENCE" qemu-system-x86_64 -nodefaults -display none -S -monitor none \
        -blockdev driver=raw,node-name=d,file.driver=file,file.filename=data.raw -M microvm,acpi=off -accel tcg \
        -device virtio-blk-device,drive=d >"$SCRATCH/qemu" 2>&1 && fail "QEMU took it, too"
    grep -q 'lock' "$SCRATCH/qemu" || fail "$(<"$SCRATCH/qemu")"
}
try qemu_and_torpor "QEMU and torpor refuse each other's disks"

flush_is_fdatasync() {
    local pid
    command -v strace >/dev/null || skip "no strace here"
    truncate -s 1M data.raw
    boot web --disk data.raw,rw
    pid=$("$TORPOR" ps --json | json "d[0]['pid']")
    strace -f -e trace=fdatasync -o trace -p "$pid" 2>attached &
    until_true grep -q attached attached
    answers web "dwrite 0 0 8 3" "dwrite ok"
    [ ! -s trace ] || ! grep -q fdatasync trace || fail "a write is flushed: $(<trace)"
    answers web "dflush 0" "dflush ok"
    until_true grep -q "fdatasync.* = 0" trace
    kill %1
}
try flush_is_fdatasync "a flush of the guest is fdatasync of the file"

unsaid() {
    truncate -s 1M data.raw
    boot web --disk data.raw,rw,id=data
    refuses 125 "disk data .*--disks inside .*--disks outside" save web
    refuses 125 "inside or outside" save web --disks beside
    refuses 125 "-R" save web --disks outside -R
    refuses 125 "disk data is written through, and clones" clone web
    same state "$(state_of web)" running
    answers web "dwrite 0 0 8 3" "dwrite ok"
}
try unsaid "save of a rw disk without --disks, -R outside and clone are refused, and the machine goes on"

inside() {
    truncate -s 4M data.raw
    boot web --disk data.raw,rw,id=data
    answers web "dwrite 0 100 64 5" "dwrite ok"
    works save web -R --disks inside -o one.torpor
    answers web "dwrite 0 300 64 6" "dwrite ok"
    works save web -R --disks inside --parent one.torpor -o two.torpor
    answers web "dwrite 0 100 64 9" "dwrite ok"
    works save web --disks inside -o three.torpor
    works verify two.torpor
    mkdir out
    works_silently extract two.torpor -C out disk.0
    for i in one two three; do
        works resume -d --name "$i" "$i.torpor"
        answers "$i" "dread 0 100 64 $([ $i = three ] && echo 9 || echo 5)" "dread ok"
    done
    answers two "dread 0 300 64 6" "dread ok"
    [ "$(say one "dread 0 300 64 6")" != "dread ok" ] || fail "the first has what was written later"
    # It is a disk as any other now.
    answers three "dwrite 0 0 8 1" "dwrite ok"
    works save three -o four.torpor
    works_silently kill one two
    refuses 125 "no disk of that id outside" resume -d one.torpor --disk data=data.raw
}
try inside "save --disks inside, full, -R and with a parent: each file has what the disk held at its pause"

outside() {
    truncate -s 4M data.raw
    boot web --disk data.raw,rw,id=data
    answers web "dwrite 0 100 64 5" "dwrite ok"
    works save web --disks outside -o web.torpor
    same format "$("$TORPOR" inspect --json web.torpor | json "d['appliance']['format']")" 2.0
    works inspect web.torpor
    matches inspect "$out" "disk +data, 4 MiB, outside of the file"
    works verify web.torpor
    works ls web.torpor
    [[ $out != *disk.0* ]] || fail "the disk is in the file: $out"
    refuses 125 "outside of the file: give it with --disk data=F" resume -d web.torpor
    refuses 125 "ID=F" resume -d web.torpor --disk data.raw
    refuses 125 "no disk of that id" resume -d web.torpor --disk other=data.raw
    refuses 125 "scratch" resume -d web.torpor --disk data=data.raw,ro
    cp --sparse=never data.raw copy.raw
    works resume -d web.torpor --disk data=data.raw
    answers web "dread 0 100 64 5" "dread ok"
    # Twice at once.
    refuses 125 "in use by machine web \(rw\)" resume -d --name again web.torpor --disk data=data.raw
    # Nothing was written, and it may wake once more.
    works_silently kill web
    works resume -d web.torpor --disk data=data.raw
    answers web "dwrite 0 100 8 6" "dwrite ok"
    works_silently kill web
    refuses 125 "does not hold what it held" resume -d web.torpor --disk data=data.raw
    # A copy of the disk from then, with all its holes filled, is the disk.
    works resume -d web.torpor --disk data=copy.raw
    answers web "dread 0 100 64 5" "dread ok"
    works save web --disks outside -o next.torpor
    truncate -s +512 copy.raw
    refuses 125 "bytes" resume -d next.torpor --disk data=copy.raw
    truncate -s -512 copy.raw
    works resume -d next.torpor --disk data=copy.raw,scratch
    answers web "dwrite 0 100 8 9" "dwrite ok"
    works save web -o inside.torpor
    works resume -d inside.torpor
    answers web "dread 0 100 8 9" "dread ok"
    holds copy.raw 100 64 5
}
try outside "save --disks outside: it wakes with the very disk or a copy, once at a time, and not after it was written to"

# What the machine has on a disk goes with it when nobody could give that to a resume.
outside_lost() {
    truncate -s 4M data.raw
    boot web --disk data.raw,rw,id=data
    answers web "dwrite 0 0 8 5" "dwrite ok"
    for size in 0 4K 8M; do
        cp data.raw kept.raw
        truncate -s "$size" data.raw
        refuses 125 "data: its file has [0-9]+ bytes now, and the disk has 4194304: .*truncate -s" \
            save web --disks outside -o web.torpor
        cat kept.raw >data.raw
    done
    rm data.raw
    refuses 125 "data: its file has been removed, .* --disks inside" save web --disks outside -o web.torpor
    [ ! -e web.torpor ] || fail "there is a file"
    answers web "dread 0 0 8 5" "dread ok"
    works save web --disks inside -o web.torpor
    works resume -d web.torpor
    answers web "dread 0 0 8 5" "dread ok"
}
try outside_lost "save --disks outside: refused when the disk's file was removed or has another size; inside has it"

outside_chain() {
    truncate -s 4M data.raw
    boot web --disk data.raw,rw,id=data
    answers web "dwrite 0 0 8 1" "dwrite ok"
    works save web -R --disks inside -o in.torpor
    refuses 125 "other disks outside" save web --disks outside --parent in.torpor -o x.torpor
    works save web --disks outside
    works resume -d web --disk data=data.raw
    answers web "dwrite 0 0 8 2" "dwrite ok"
    refuses 125 "other disks outside" save web --disks inside --parent "$XDG_DATA_HOME/torpor/web.torpor" -o x.torpor
    works save web --disks outside --as next -o "$XDG_DATA_HOME/torpor/next.torpor" --parent "$XDG_DATA_HOME/torpor/web.torpor"
    same increment "$("$TORPOR" inspect --json next | json "d['appliance']['live']['increment']")" True
    works flatten next -o flat.torpor
    refuses 125 "does not hold" resume -d web --disk data=data.raw
    works resume -d flat.torpor --disk data=data.raw
    answers next "dread 0 0 8 2" "dread ok"
    works_silently kill next
    works resume -d next --disk data=data.raw
    answers next "dread 0 0 8 2" "dread ok"
}
try outside_chain "increments: disks are where those of the parent are; a chain of outside ones wakes, and can be flattened"

not_golden() {
    truncate -s 1M data.raw
    boot web --disk data.raw,rw,id=data
    works save web --disks outside -o web.torpor
    refuses 125 "cannot be golden: its disk data" resume -d --golden web.torpor --disk data=data.raw
    refuses 125 "cannot write one disk" clone -c 2 web.torpor --disk data=data.raw
    refuses 125 "outside of" warm web.torpor
    works resume -d --golden web.torpor --disk data=data.raw,scratch
    answers web "dwrite 0 0 8 1" "dwrite ok"
    works reset web
    [ "$(say web "dread 0 0 8 1")" != "dread ok" ] || fail "it was not reset"
    works_silently kill web
    works clone -c 2 web.torpor --disk data=data.raw,scratch
    answers web-1 "dwrite 0 0 8 1" "dwrite ok"
    answers web-2 "dwrite 0 0 8 2" "dwrite ok"
    answers web-1 "dread 0 0 8 1" "dread ok"
}
try not_golden "golden machines, clones and warm: refused with a rw disk, and fine with scratch"

not_moved() {
    truncate -s 1M data.raw
    boot web --disk data.raw,rw,id=data
    refuses 125 "be moved: its disk data" move web -- sh -c "touch asked; echo torpor receive 1; exec cat >/dev/null"
    [ ! -e asked ] || fail "the other host was asked all the same"
    answers web "ping a" "pong a"
}
try not_moved "move of a machine with a rw disk is refused, and it goes on"

appliance_disks() {
    truncate -s 1M root.raw
    truncate -s 2M data.raw
    works_silently build -o a.torpor --kernel "$TINY" -m 64M --disk root.raw,id=root
    works run -d --name a a.torpor --disk data.raw,rw
    until_true is_ready a
    answers a disks "disks 2 1048576 2097152"
    answers a "dserial 1" "dserial disk0"
    answers a "dwrite 1 0 8 4" "dwrite ok"
    answers a "dwrite 0 0 8 4" "dwrite ok"
    works save a --disks outside -o saved.torpor
    works resume -d saved.torpor --disk disk0=data.raw
    answers a "dread 0 0 8 4" "dread ok"
    answers a "dread 1 0 8 4" "dread ok"
    works_silently kill a
    works run -d --name a a.torpor --disk root=data.raw,rw
    until_true is_ready a
    answers a disks "disks 1 2097152"
    answers a "dread 0 0 8 4" "dread ok"
}
try appliance_disks "run FILE --disk: another disk, or another one for a disk of the appliance"

power_cuts() {
    python3 "$tests/kvm/power_cut.py" "$TORPOR" "$TINY" "${POWER_CUTS:-20}" || fail "see above"
}
try power_cuts "kill -9 at any moment, ${POWER_CUTS:-20} times: nothing that a flush has acknowledged is lost"

# A full file system, and a device that fails when it is flushed: the loop device of a file for which there is no
# room.
full_disk() {
    mkdir small
    mount -t tmpfs -o size=1M tmpfs small 2>/dev/null || skip "no file system can be mounted"
    truncate -s 8M small/data.raw
    boot web --disk small/data.raw,rw
    answers web "dwrite 0 0 256 1" "dwrite ok"
    answers web "dwrite 0 4096 4096 1" "dwrite error 1"
    answers web "ping a" "pong a"
    answers web "dread 0 0 256 1" "dread ok"
    answers web "ddiscard 0 0 16384" "ddiscard ok"
    answers web "dwrite 0 4096 256 2" "dwrite ok"
    same state "$(state_of web)" running
    grep -q "write disk disk0: No space left" "$XDG_STATE_HOME/torpor/web/torpor.log" || fail "the log does not say it"
}
try full_disk "a full file system is an error of the guest's request; console and reads go on, and it can be freed"

failing_device() {
    local device
    mkdir small
    mount -t tmpfs -o size=1M tmpfs small 2>/dev/null || skip "no file system can be mounted"
    truncate -s 8M small/back.raw
    device=$(losetup -f --show small/back.raw 2>/dev/null) || skip "there is no loop device"
    trap 'losetup -d "$device"' EXIT
    boot web --disk "$device,rw,id=data"
    answers web disks "disks 1 8388608"
    refuses 125 "in use by machine web" run --kernel "$TINY" --disk "$device,rw"
    answers web "dwrite 0 0 64 1" "dwrite ok"
    answers web "dflush 0" "dflush ok"
    answers web "dwrite 0 4096 8192 1" "dwrite ok"
    answers web "dflush 0" "dflush error 1"
    answers web "dwrite 0 0 8 1" "dwrite ok"
    # What was lost then is lost: no later flush says otherwise.
    answers web "dflush 0" "dflush error 1"
    answers web "ping a" "pong a"
    refuses 125 "flush disk data" save web --disks outside
    answers web "dread 0 0 64 1" "dread ok"
    works_silently kill web
}
try failing_device "a block device that fails: the flush is an error, and each one after it; the console goes on"

# Time only shows that nobody was faster than the limit allows.
limits() {
    truncate -s 8M data.raw free.raw
    boot web --disk data.raw,rw --disk free=free.raw --disk-iops 100 --disk-iops free=1000000
    takes 0.45 "61 requests, with 100 a second" "dbench 0 0 4096 8 61 1"
    matches answer "$(say web "dbench 1 0 4096 8 1000 1")" '^dbench [0-9]+$'
    works_silently kill web
    boot web --disk data.raw,rw --disk-bps 4M
    takes 0.6 "4 MiB, with 4 MiB a second" "dbench 0 3 262144 4 16 1"
    works_silently pause web
    works_silently unpause web
    answers web "dwrite 0 0 256 7" "dwrite ok"
    works_silently kill web
    refuses 125 "no disk of that id" run --kernel "$TINY" --disk data.raw --disk-iops other=5
    refuses 125 "run: --disk-iops: 0 is" run --kernel "$TINY" --disk data.raw --disk-iops 0
    refuses 125 "at most 9G" run --kernel "$TINY" --disk data.raw --disk-bps 100G
    refuses 125 "are for torpor run and resume" build -o a.torpor --kernel "$TINY" --disk data.raw --disk-iops 5
}
takes() { # SECONDS-AT-LEAST WHAT COMMAND
    local begin=$EPOCHREALTIME
    matches answer "$(say web "$3")" '^dbench [0-9]+$'
    python3 -c "import sys; sys.exit($EPOCHREALTIME - $begin < $1)" || fail "$2: less than $1 s"
}
try limits "--disk-iops, --disk-bps: no disk is faster than its limit"
