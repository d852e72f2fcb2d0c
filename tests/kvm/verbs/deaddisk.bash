# Disks of the host that answer late, not at all or with an error: nobody but the guest's request waits for them.

# mnt/disk, which does what is written to $orders.
mount_disk() {
    mkdir mnt
    truncate -s 1M backing
    mkfifo orders
    "$tests/kvm/fuse_file.py" "$PWD/mnt" "$PWD/backing" orders >obeyed 2>&1 &
    exec {orders}>orders
    until_true grep -q . obeyed
    grep -q mounted obeyed || skip "nothing can be mounted here: $(<obeyed)"
}

order() { # COMMAND…
    echo "$*" >&"$orders"
    until_true grep -qx "$*" obeyed
}

unmount() {
    exec {orders}>&-
    wait %1
}

# web with that disk; $asked has a request, whose answer goes to the file `answer`.
ask_dead_disk() { # COMMAND
    mount_disk
    boot web --disk mnt/disk,rw
    answers web "dwrite 0 0 8 3" "dwrite ok"
    order stop
    say web "$1" >answer &
    asked=$!
    until_true grep -qx held obeyed
}

everybody_else_goes_on() {
    ask_dead_disk "dread 0 0 8 3"
    works ps
    matches ps "$out" 'web +running'
    works stats web --json
    boot other
    answers other "ping x" "pong x"
    order go
    wait "$asked"
    same answer "$(<answer)" "dread ok"
    answers web "dwrite 0 8 8 3" "dwrite ok"
    works_silently kill web other
    unmount
}
try everybody_else_goes_on "a disk that does not answer holds up the request alone: its machine's control socket and other machines go on"

pauses_wait() {
    ask_dead_disk "dwrite 0 100 8 4"
    "$TORPOR" pause web &
    local pauser=$!
    until_true is_waiting web
    works ps
    order go
    wait "$pauser"
    same "status of pause" "$?" 0
    same state "$(state_of web)" paused
    cmp -s <(tail -c +51201 backing | head -c 4096) /dev/zero && fail "the write is not there"
    works_silently unpause web
    wait "$asked"
    same answer "$(<answer)" "dwrite ok"
    works_silently kill web
    unmount
}
is_waiting() { # NAME
    "$TORPOR" inspect "$1" --json | json "d['waits']" | grep -q '1 request to disk0'
}
try pauses_wait "a pause waits for a request that is under way; the machine answers meanwhile"

gives_up() {
    ask_dead_disk "dread 0 0 8 3"
    refuses 125 "cannot be paused: 1 request to disk0 has not been answered" pause web
    same state "$(state_of web)" running
    refuses 125 "cannot be paused: 1 request to disk0" save web --disks inside -o web.torpor
    [ ! -e web.torpor ] || fail "a file was left"
    same state "$(state_of web)" running
    # The machine ends; its process is there as long as Linux waits for the disk, and so is who kills it.
    "$TORPOR" kill web &
    local killer=$!
    until_true is_gone_now
    boot web
    order go
    wait "$killer"
    same "status of kill" "$?" 0
    wait "$asked"
    unmount
    works_silently kill web
}
is_gone_now() {
    [ -z "$("$TORPOR" ps -q)" ]
}
try gives_up "what does not come in ten seconds refuses the pause and the save by name; kill ends the machine, and its name is free"

errors_reach_the_guest() {
    mount_disk
    boot web --disk mnt/disk,rw
    answers web "dwrite 0 0 8 3" "dwrite ok"
    order error 28 # ENOSPC
    answers web "dwrite 0 0 8 4" "dwrite error 1"
    order error 5 # EIO
    answers web "dread 0 0 8 3" "dread error 1"
    answers web "dflush 0" "dflush error 1"
    order error 0
    answers web "dread 0 0 8 3" "dread ok"
    # What Linux could not write it drops, and says so once.
    answers web "dflush 0" "dflush error 1"
    works logs web --host
    matches log "$out" "disk0: write disk disk0: No space left"
    matches log "$out" "disk0: read disk disk0: Input/output error"
    same state "$(state_of web)" running
    works_silently kill web
    unmount
}
try errors_reach_the_guest "EIO and ENOSPC of a file system are errors of the guest's requests, and are logged"
