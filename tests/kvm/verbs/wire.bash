# Machines that run while their files arrive: resume http://127.0.0.1:PORT/FILE, with a server that goes away and lies.

# A machine with 24 MiB that do not pack, and their $sum, in www/web.torpor, which is served: $url.
serve_web() { # SAVE-OPTION…
    mkdir www
    boot source -m 64M
    answers source "rngfill 16 24" "filled 6144"
    sum=$(say source "memsum 16 24")
    works save "$@" -o www/web.torpor source
    "$tests/kvm/range_server.py" www port >server.log 2>&1 </dev/null &
    server=$!
    trap 'kill "$server" 2>/dev/null' EXIT
    until_true test -s port
    url=http://127.0.0.1:$(<port)/web.torpor
}

arriving() { # NAME KEY
    "$TORPOR" ps --json | json "[m for m in d if m['name'] == '$1'][0].get('arriving', {}).get('$2')"
}

waits() { # NAME
    [ "$(arriving "$1" state)" = waiting ]
}

has_arrived() { # NAME
    "$TORPOR" events --since 1h --until 0 "$1" | grep -q '\barrived\b'
}

# The middle of the file does not come.
leave_gap() {
    echo $(($(size_of) / 3)) $(($(size_of) * 2 / 3)) >www/gap
}

size_of() {
    stat -c %s www/web.torpor
}

wire_flat() {
    serve_web --flat
    works resume -d --name web "$url"
    answers web "memsum 16 24" "$sum"
    until_true has_arrived web
    works ps
    matches "ps" "$out" "web +running"
    ! grep -q "has arrived" <<<"$out" || fail "it is all there: $out"
    works inspect --json web
    same "what arrived" "$(json "d['arriving']['there']" <<<"$out")" "$(size_of)"
    works stats --json web
    same "the state" "$(json "d['arriving']['state']" <<<"$out")" complete
    works save web -o again.torpor
    works verify again.torpor
    works resume -d --name again again.torpor
    answers again "memsum 16 24" "$sum"
}
try wire_flat "a machine runs while its flat file arrives, and is saved then"

wire_packed() {
    serve_web
    leave_gap
    works resume -d --name web "$url"
    until_true waits web
    works ps
    matches "ps" "$out" "waiting for 127.0.0.1:[0-9]+ since [0-9:]+, [0-9]+ % of [0-9.]+ MiB has arrived"
    answers web "ping you" "pong you"
    rm www/gap
    answers web "memsum 16 24" "$sum"
    until_true has_arrived web
    works events --since 1h --until 0 web
    matches "events" "$out" "waiting.*waited.*arrived"
}
try wire_packed "a server goes away and comes back: the guest goes on"

# A verb that waits says for whom, and can be ended.
waits_and_ends() { # MESSAGE ARGUMENT…
    local message=$1 pid
    shift
    "$TORPOR" "$@" >"$SCRATCH/waits" 2>&1 &
    pid=$!
    until_true grep -q "$message" "$SCRATCH/waits"
    kill "$pid"
    wait "$pid" 2>/dev/null
}

is_stuck() { # NAME
    [ "$(arriving "$1" waiters)" -ge 1 ]
}

# The guest waits for memory that does not arrive: its MiB 26 to 30 lie in the middle third of the file.
wire_stuck() {
    serve_web --flat
    leave_gap
    works resume -d --name web "$url"
    until_true waits web
    "$TORPOR" console web <<<'memsum 26 4' >/dev/null 2>&1 &
    until_true is_stuck web
    works ps
    matches "ps" "$out" "waiting for 127.0.0.1"
    waits_and_ends "save: waiting for the rest of web: waiting for 127.0.0.1" save -o never.torpor web
    [ ! -e never.torpor ] || fail "it was saved"
    waits_and_ends "it is waiting for 127.0.0.1" pause web
    works ps
    matches "ps" "$out" "waiting for 127.0.0.1"
    works kill web
    works ps -a
    ! grep -q "web +running" <<<"$out" || fail "it lives"
}
try wire_stuck "what waits for memory is seen, not saved by halves, and killed"

# Asked for when half of it is there, and again and again: nothing is missing, and it does not become less.
wire_saved() {
    local i saver
    serve_web
    leave_gap
    works resume -d --paused --name web "$url"
    until_true waits web
    "$TORPOR" save -R -o 1.torpor web >/dev/null 2>said &
    saver=$!
    until_true grep -q 'save: waiting for the rest of web' said
    rm www/gap
    wait $saver
    same "status of save, which said '$(<said)'" "$?" 0
    for i in 2 3; do
        works save -R --full -o $i.torpor web
        works verify $i.torpor
        same "contents" "$(contents_of $i.torpor)" "$(contents_of 1.torpor)"
        same "bytes" "$(stat -c %s $i.torpor)" "$(stat -c %s 1.torpor)"
    done
    works resume -d --name woken 3.torpor
    answers woken "memsum 16 24" "$sum"
    works_silently unpause web
    answers web "memsum 16 24" "$sum"
}

# But for the state, which has the processor's time stamp.
contents_of() { # FILE
    "$TORPOR" inspect --json "$1" |
        json "sorted(c for c in d['appliance']['contents'].items() if c[0] != 'state')"
}
try wire_saved "save -R of a machine that has half arrived, again and again: the same file each time"

wire_wrong_once() {
    serve_web --flat
    echo $(($(size_of) - (3 << 20))) >www/flip
    echo 1 >www/flip-times
    works resume -d --name web "$url"
    answers web "memsum 16 24" "$sum"
    until_true has_arrived web
    works kill web
}
try wire_wrong_once "a frame that arrives wrong is fetched again"

wire_wrong() {
    serve_web --flat
    echo $(($(size_of) - (3 << 20))) >www/flip
    works resume -d --name web "$url"
    until_true is_broken web
    works inspect --json web
    matches "why" "$(json "d['error']" <<<"$out")" "frame [0-9]+ of memory.0: SHA-256 differs"
    works kill web
}

is_broken() { # NAME
    [ "$("$TORPOR" inspect --json "$1" | json "d['state']")" = broken ]
}
try wire_wrong "a frame that stays wrong breaks the machine by name"

wire_complete() {
    serve_web --flat
    works resume -d --wait-complete --name web "$url"
    answers web "memsum 16 24" "$sum"
    works kill web
    refuses 125 "is for docker://, https:// and http://" resume --wait-complete www/web.torpor
    refuses 122 "web address" clone "$url"
    refuses 125 "http" resume -d http://example.invalid/web.torpor
}
try wire_complete "all of it first, and what is refused"

wire_poweroff() {
    serve_web --flat
    leave_gap
    works resume -d --name web "$url"
    until_true waits web
    say web poweroff >/dev/null
    until_true is_over web
    works resume -d --rm --name killed "$url"
    until_true waits killed
    works kill killed
}

is_over() { # NAME
    ! "$TORPOR" ps -q | grep -qx "$1"
}
try wire_poweroff "a machine whose files are missing ends when its guest does, and when it is killed"

wire_no_room() {
    serve_web --flat
    mkdir small
    mount -t tmpfs -o size=12M tmpfs small 2>/dev/null || skip "no file system can be mounted"
    XDG_DATA_HOME=$PWD/small refuses 125 "24 MiB are to come, and 1[12] are free" resume -d --name web "$url"
    # There is room while it runs, whoever takes the rest.
    mount -o remount,size=40M small
    leave_gap
    XDG_DATA_HOME=$PWD/small works resume -d --name web "$url"
    until_true waits web
    head -c 100M /dev/zero >small/filler 2>/dev/null
    rm www/gap
    until_true has_arrived web
    answers web "memsum 16 24" "$sum"
}
try wire_no_room "a file for which there is no room; a disk that becomes full"
