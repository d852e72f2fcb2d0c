# What is changed under a machine that runs: its kernel, its initrd, its disks' files; and starts that are refused.

# It is copied behind the start of the guest.
has_kept() { # NAME FILE
    ls -l "/proc/$(<"$XDG_RUNTIME_DIR/torpor/$1/pid")/fd" | grep -q "memfd:$2"
}

kernel_changed() {
    cp "$TINY" kernel
    head -c 100000 /dev/urandom >initrd
    works run -d --name web --kernel kernel --initrd initrd -m 64M
    until_true is_ready web
    nonce=$(say web nonce)
    cp initrd before
    until_true has_kept web initrd
    : >kernel
    head -c 100000 /dev/zero >initrd
    works save web -o web.torpor
    works extract web.torpor kernel -o kept
    cmp kept "$TINY" || fail "the kernel in the file"
    works extract web.torpor initrd -o kept
    cmp kept before || fail "the initrd in the file"
    works resume -d web.torpor
    answers web nonce "$nonce"
}
try kernel_changed "a kernel and an initrd that are changed in place: a save has them as they were"

kernel_changed_then_reset() {
    cp "$TINY" kernel
    works run -d --name web --kernel kernel -m 64M
    until_true is_ready web
    until_true has_kept web kernel
    : >kernel
    "$TORPOR" console web <<<reset >/dev/null &
    until_true is_ready web 2
}
try kernel_changed_then_reset "a reset finds the kernel that was booted"

base_changed() {
    truncate -s 1M disk.img
    boot web --disk disk.img
    nonce=$(say web nonce)
    printf x | dd of=disk.img conv=notrunc status=none
    refuses 125 "disk.img" save web -o web.torpor
    [ ! -e web.torpor ] || fail "there is a file"
    answers web nonce "$nonce"
    "$TORPOR" console web <<<reset >/dev/null &
    until_true is_ready web 2
    works logs --host web
    matches log "$out" "disk.img"
}
try base_changed "a disk's file that is changed in place: a save is refused by its name, a reset logs it"

refused_start() {
    works run -d --name first --kernel "$TINY" -m 64M -p 127.0.0.1:0:80
    works port first
    local port=${out##*:}
    call run -d --name web --kernel "$TINY" -m 64M -p "127.0.0.1:${port//[^0-9]/}:80"
    same "status" "$status" 125
    works ps -aq
    same "machines" "$out" first
    boot web
    works_silently kill web
    call run -d --name web --kernel "$TINY" -m 64M -p "127.0.0.1:${port//[^0-9]/}:80"
    same "status" "$status" 125
    same "the record before" "$(state_of web)" exited
    call wait web
    same "how it ended" "$(<"$SCRATCH/out")" killed
}
try refused_start "a start that is refused leaves no record, and an older one as it was"

more_than_the_host() {
    local host
    host=$(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo)
    [ "$host" -lt 250 ] || skip "the host has more memory than a machine may have"
    call run -d --name big --kernel "$TINY" -m $((host + 4))G
    grep -q "^torpor: the machine has $(((host + 4) * 1024)) MiB of memory, this host" "$SCRATCH/err" ||
        fail "$(report_call run)"
    works run -d --name small --kernel "$TINY" -m 64M
}
try more_than_the_host "-m beyond what the host has: a warning"
