#!/bin/bash
# Runs the tiny kernel under QEMU's software CPU (or "$ACCEL") and speaks its protocol.
# usage: images/tiny/selftest.sh [tiny.elf]
# Prints "ok - NAME" or "not ok - NAME" for each test and "N passed, N failed" at the end; exit
# status 1 after a failure.
set -u

elf=${1:-build/images/tiny.elf}
accel=${ACCEL:--accel tcg -cpu qemu64}
machine=microvm,acpi=off,rtc=on
mmio=mmio=0xfeb00000,0x200,24
dir=$(mktemp -d)
passed=0
failed=0
qemu_pid=

finish()
{
    stop_guest
    rm -rf "$dir"
}
trap finish EXIT

# Boots: first the kernel's options, then any QEMU arguments. The line protocol is on $guest_in and
# $guest_out.
boot()
{
    local append="$mmio $1"
    shift
    stop_guest
    # shellcheck disable=SC2086
    coproc GUEST { exec qemu-system-x86_64 -M "$machine" $accel -nodefaults \
        -no-user-config -display none -no-reboot -global virtio-mmio.force-legacy=false \
        -device isa-debug-exit,iobase=0xf4,iosize=1 -kernel "$elf" -append "$append" "$@" \
        2>>"$dir/stderr"; }
    qemu_pid=$GUEST_PID
    exec {guest_in}>&"${GUEST[1]}" {guest_out}<&"${GUEST[0]}"
}

stop_guest()
{
    [ -n "$qemu_pid" ] || return 0
    kill "$qemu_pid" 2>>"$dir/stderr"
    reap
}

reap()
{
    exec {guest_in}>&- {guest_out}<&-
    wait "$qemu_pid" 2>>"$dir/stderr"
    status=$?
    qemu_pid=
}

# The next line of the guest, without its line end.
hear()
{
    reply=
    IFS= read -r -t 20 -u "$guest_out" reply
}

ask()
{
    echo "$1" >&"$guest_in"
    hear
}

report() # NAME, then a command
{
    local name=$1
    shift
    if "$@"; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name (last reply: ${reply:-none})"
        failed=$((failed + 1))
    fi
}

matches()
{
    [[ $reply =~ ^($1)$ ]]
}

# Asks and checks the whole reply against an extended regular expression.
expect() # NAME COMMAND REGEX
{
    ask "$2"
    report "$1" matches "$3"
}

# Does the counter COMMAND go up within five seconds? The processor that counts may have to wait for
# its turn.
advances() # COMMAND
{
    local before
    ask "$1"
    before=${reply##* }
    for ((i = 0; i < 50; i++)); do
        ask "$1"
        [ "${reply##* }" -gt "$before" ] && return
        sleep 0.1
    done
    return 1
}

hear_ready() # NAME
{
    hear
    report "$1: READY" matches 'READY nonce=[0-9a-f]{16}'
    nonce=${reply#READY nonce=}
}

# shellcheck disable=SC2054
blk_args=(-drive "if=none,id=d,format=raw,discard=unmap,file=$dir/disk"
    -device virtio-blk-device,drive=d,serial=tiny-0
    -drive "if=none,id=e,format=raw,readonly=on,file=$dir/disk.ro" -device virtio-blk-device,drive=e)

make_disks()
{
    truncate -s 16M "$dir/disk"
    truncate -s 1M "$dir/disk.ro"
}

test_protocol()
{
    boot "" -m 256 -serial stdio
    hear_ready serial
    expect "nonce is the one of READY" nonce "nonce $nonce"
    expect "ping" "ping a b  c" "pong a b  c"
    report "count advances" advances count
    expect "mem" mem "mem 2[0-9]{8}"
    expect "unknown command" "frobnicate 1" "error command frobnicate"
    expect "missing argument" "fill 16 1" "error arguments"
    expect "surplus argument" "fill 16 1 2 3" "error arguments"
    expect "cmos is the host's time" cmos "cmos $(date -u +%Y-%m-%d) .*"
    expect "tsc" tsc "tsc [0-9]+"
    expect "cpuid names a vendor" "cpuid 0 0" "cpuid [0-9a-f]+( [0-9a-f]+){3}"
    expect "msr: APIC base" "msr 0x1b" "msr fee00900"
    expect "genid is 16 bytes" genid "genid [0-9a-f]{32}"
    expect "no disk" "dread 0 0 1 1" "error disk"
    expect "no rng" "rng 4" "error rng"
    expect "no console" "hvc x" "error console"
    ask poweroff
    reap
    report "power off" [ "$status" = 1 ]
}

test_memory() # NAME CPU
{
    accel="${ACCEL:--accel tcg -cpu $2}" boot "" -m 5G -serial stdio
    hear_ready "$1"
    expect "$1: 5 GiB" mem "mem 536[0-9]{7}"
    expect "$1: fill low" "fill 16 64 1" "filled 16384"
    expect "$1: fill above 4 GiB" "fill 5000 64 2" "filled 16384"
    expect "$1: check low" "check 16 64 1" "check ok"
    expect "$1: check above 4 GiB" "check 5000 64 2" "check ok"
    expect "$1: another seed is seen" "check 5000 1 3" "check bad 138800000"
    expect "$1: every word" "fillall 100 2 9" "filled 512"
    expect "$1: every word checked" "checkall 100 2 9" "check ok"
    expect "$1: pages alone are no whole pattern" "checkall 16 1 1" "check bad 1000008"
    expect "$1: the hole is refused" "fill 3200 64 1" "error range"
    expect "$1: the image is refused" "fill 1 1 1" "error range"
}

test_disks() # OPTIONS
{
    boot "$1" -m 256 -serial stdio "${blk_args[@]}"
    hear_ready "disks [$1]"
    expect "disks" disks "disks 2 (16777216 1048576:ro|1048576:ro 16777216)"
    rw=0
    [[ $reply = "disks 2 16777216"* ]] || rw=1
    expect "write" "dwrite $rw 100 1000 7" "dwrite ok"
    expect "read" "dread $rw 100 1000 7" "dread ok"
    expect "a wrong seed is seen" "dread $rw 100 10 8" "dread bad sector 100"
    expect "a shifted sector is seen" "dread $rw 99 2 7" "dread bad sector 99"
    expect "flush" "dflush $rw" "dflush ok"
    expect "serial" "dserial $rw" "dserial tiny-0"
    expect "write zeroes" "dzeroes $rw 100 8" "dzeroes ok"
    expect "zeroes read back" "dsum $rw 100 8" "dsum 7da144b97d054b25"
    expect "the rest is untouched" "dread $rw 108 992 7" "dread ok"
    expect "discard" "ddiscard $rw 108 8" "ddiscard ok"
    expect "past the end" "dread $rw 32760 100 1" "dread error 1"
    expect "read-only disk refuses" "dwrite $((1 - rw)) 0 1 1" "dwrite error 1"
    expect "disk to RAM" "dload $rw 0 32 4" "dload ok"
    report "the host sees the sectors" cmp -s -i 102400:0 -n 512 "$dir/disk" <(sector_200)
}

# Sector 200 of seed 7: words v, v + K, ... with v = mix(200 ^ 7).
sector_200()
{
    python3 -c 'import struct, sys
m = 2**64 - 1; k = 0x9e3779b97f4a7c15
v = ((200 ^ 7) + k) & m
v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9 & m
v = (v ^ v >> 27) * 0x94d049bb133111eb & m
v ^= v >> 31
sys.stdout.buffer.write(b"".join(struct.pack("<Q", (v + i * k) & m) for i in range(64)))'
}

# QEMU lets 2 and 3 (it bounces unmapped addresses) and 5 pass; the kernel must come back from all.
test_badqueue()
{
    boot "" -m 256 -serial stdio "${blk_args[@]}"
    hear_ready "badqueue"
    for n in 1 2 3 4 5 6 7 8 9; do
        case $n in
        2 | 3 | 5 | 6) expect "badqueue $n is survived" "badqueue $n" "badqueue status (4f|0f)" ;;
        *) expect "badqueue $n needs a reset" "badqueue $n" "badqueue status 4f" ;;
        esac
        expect "the disk works after badqueue $n" "dread 0 500 8 1" "dread bad sector 500"
    done
}

test_balloon()
{
    boot "" -m 256 -serial stdio -device virtio-balloon-device,free-page-reporting=on
    hear_ready balloon
    ask "memsum 40 1"
    local zeros=$reply
    expect "fill" "fill 20 1 7" "filled 256"
    expect "give" "give 20 1" "given 256"
    expect "what was given is zero" "memsum 20 1" "$zeros"
}

test_rng()
{
    local first
    boot "" -m 256 -serial stdio -device virtio-rng-device
    hear_ready rng
    expect "rng" "rng 16" "rng [0-9a-f]{32}"
    first=$reply
    ask "rng 16"
    report "rng differs" [ "$reply" != "$first" ]
    expect "rngfill" "rngfill 16 2" "filled 512"
    ask "memsum 16 2"
    first=$reply
    ask "rngfill 16 2"
    ask "memsum 16 2"
    report "rngfill differs" [ "$reply" != "$first" ]
}

test_console() # NAME MAX_PORTS
{
    boot "console=hvc0" -m 256 -chardev stdio,id=c -serial "file:$dir/serial" \
        -device "virtio-serial-device,max_ports=$2" -device virtconsole,chardev=c
    hear_ready "hvc0, $1"
    expect "hvc0, $1: input" "ping over virtio" "pong over virtio"
    ask "hvc hello"
    report "hvc0, $1: hvc" matches hello
    hear
    report "hvc0, $1: hvc answers" matches "hvc ok"
    for ((i = 0; i < 40; i++)); do echo "ping line $i"; done >&"$guest_in"
    for ((i = 0; i < 40; i++)); do hear; done
    report "hvc0, $1: a burst of lines" matches "pong line 39"
    report "hvc0, $1: nothing on the serial port" [ ! -s "$dir/serial" ]
}

# QEMU's own network: its gateway's address is 52:55 and its IPv4 address.
test_net() # OPTIONS
{
    boot "$1" -m 256 -serial stdio -netdev user,id=n \
        -device virtio-net-device,netdev=n,mac=02:00:00:00:00:07
    hear_ready "net [$1]"
    expect "its address" net "net 02:00:00:00:00:07"
    expect "who is the gateway" "arp 10.0.2.2" "arp 52:55:0a:00:02:02"
    expect "ask, and do not listen" "arpask 10.0.2.2 3" "arpask 3"
    expect "listen, then" "arphear 10.0.2.2 3" "arphear 3"
    expect "no address" "arp 10.0.2" "error arguments"
    expect "no number" "arpask 10.0.2.2" "error arguments"
}

test_smp()
{
    boot "" -m 256 -smp 3 -serial stdio
    hear_ready smp
    expect "two others come up" smp "smp 2"
    report "count2 advances" advances count2
    expect "asking twice starts nobody again" smp "smp 2"
}

test_options()
{
    boot "autocmd=ping_one_two;ping_three" -m 256 -serial stdio
    hear_ready autocmd
    hear
    report "autocmd: first" matches "pong one two"
    hear
    report "autocmd: second" matches "pong three"
    boot "quiet autocmd=ping_first" -m 256 -serial stdio
    hear
    report "quiet: no READY" matches "pong first"
    boot "bench" -m 256 -serial stdio
    IFS= read -r -t 20 -N 100 -u "$guest_out" reply
    report "bench writes at once" matches '\.{100}'
    echo >&"$guest_in"
    hear
    hear
    report "bench ends on input" matches "bench [0-9]+"
    hear
    report "and the boot goes on" matches "READY nonce=.*"
    expect "triple fault ends QEMU" triple "triple"
    reap
    report "exit status of a reset" [ "$status" = 0 ]
}

# The microvm has no keyboard controller.
test_reset()
{
    machine=pc boot "" -m 256 -serial stdio
    hear_ready reset
    expect "reset" reset "reset"
    reap
    report "reset ends QEMU" [ "$status" = 0 ]
}

make_disks
test_protocol
test_memory "1 GiB pages" max
test_memory "2 MiB pages" qemu64
test_disks ""
test_disks "indirect eventidx"
test_disks "split"
test_disks "split indirect"
test_badqueue
test_rng
test_balloon
test_console "multiport" 4
test_console "one port" 1
test_net ""
test_net eventidx
test_smp
test_options
test_reset
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
