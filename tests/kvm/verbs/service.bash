# A machine as a service: --on-term, --idle-save, -p listen:PORT, and what systemd is told.

service_units=$tests/../service

# Where $notes has what NOTIFY_SOCKET was told.
listen_to_notes() {
    export NOTIFY_SOCKET=$PWD/notify notes=$PWD/notes
    python3 - <<'PYTHON' &
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.environ["NOTIFY_SOCKET"])
with open(os.environ["notes"], "w") as f:
    while True:
        f.write(s.recv(4096).decode() + "\n")
        f.flush()
PYTHON
    services="$services $!"
    trap 'kill $services 2>/dev/null' EXIT
    until_true test -e "$notes"
}

# In the background: $service.
services=
serve_in_background() { # COMMAND…
    "$@" >service.out 2>service.err </dev/null &
    service=$!
    services="$services $service"
    trap 'kill $services 2>/dev/null' EXIT
}

# The machine, saved in the store: $nonce.
make_stored() { # NAME
    boot "$1"
    nonce=$(say "$1" nonce)
    works save "$1"
}

is_state() { # NAME STATE
    [ "$(state_of "$1")" = "$2" ]
}

ended_as() { # NAME
    "$TORPOR" ps -a | awk -v name="$1" '$1 == name { print $2 }'
}

has_woken_twice() {
    [ "$(grep -c 'web is awake' service.err)" = 2 ]
}

ended() { # STATUS
    wait "$service"
    same "its status" "$?" "$1"
}

saved_by_term() {
    make_stored web
    listen_to_notes
    serve_in_background "$TORPOR" resume --on-term save web
    until_true grep -q READY=1 "$notes"
    answers web nonce "$nonce"
    answers web "fill 16 2 9" "filled 512"
    kill -TERM "$service"
    ended 0
    grep -q STOPPING=1 "$notes" || fail "$(<"$notes")"
    same "how it ended" "$(ended_as web)" exited:saved
    # The same with a file, which is replaced.
    works resume -d web
    answers web "check 16 2 9" "check ok"
    works save web -o file.torpor
    serve_in_background "$TORPOR" resume -n filed --on-term save file.torpor
    until_true is_state filed running
    answers filed "fill 24 2 3" "filled 512"
    kill -INT "$service"
    ended 0
    works resume -d -n again file.torpor
    answers again nonce "$nonce"
    answers again "check 24 2 3" "check ok"
}
try saved_by_term "--on-term save: it is saved to where it woke from, and READY and STOPPING are told"

save_fails() {
    mkdir away
    boot source
    nonce=$(say source nonce)
    works save source -o away/file.torpor
    serve_in_background "$TORPOR" resume -n filed --on-term save away/file.torpor
    until_true is_state filed running
    mv away elsewhere
    kill -TERM "$service"
    until_true grep -q 'filed goes on: saving: ' service.err
    answers filed nonce "$nonce"
    mv elsewhere away
    kill -TERM "$service"
    ended 0
    works resume -d -n again away/file.torpor
    answers again nonce "$nonce"
}
try save_fails "--on-term save: when that fails the machine goes on, and the next TERM tries again"

# The verb that the service runs for the machine now.
verb_runs() { # VERB
    local pid
    for pid in $(pgrep -P "$service"); do
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "^torpor $1 " && return
    done
    false
}

save_cancelled() {
    local pid
    make_stored web
    listen_to_notes
    serve_in_background "$TORPOR" resume --on-term save web
    until_true grep -q READY=1 "$notes"
    pid=$("$TORPOR" inspect --json web | json "d['pid']")
    # A machine that does not answer is not saved.
    kill -STOP "$pid"
    kill -TERM "$service"
    until_true verb_runs save
    kill -TERM "$service"
    until_true grep -q 'web goes on: saving: ' service.err
    kill -CONT "$pid"
    answers web nonce "$nonce"
    kill -TERM "$service"
    ended 0
    same "how often it was saved" "$(grep -c STATUS=saving "$notes")" 2
    works resume -d web
    answers web nonce "$nonce"
}
try save_cancelled "--on-term save: a second signal cancels it, and is not the next one's first"

powered_off() {
    listen_to_notes
    serve_in_background "$TORPOR" run --on-term poweroff -n cold --kernel "$TINY" -m 64M
    until_true is_ready cold
    kill -TERM "$service"
    # This guest hears of no power button: a second signal pulls the plug.
    until_true grep -q STOPPING=1 "$notes"
    kill -TERM "$service"
    ended 137
    same "how it ended" "$(ended_as cold)" exited:killed
    serve_in_background "$TORPOR" run --on-term poweroff -n cold2 --kernel "$TINY" -m 64M
    until_true is_ready cold2
    "$TORPOR" console cold2 <<<poweroff >/dev/null
    ended 0
}

try powered_off "--on-term poweroff: the button, then a second signal; a guest that ends ends it"

# A socket that listens already at $port: systemd's program, as systemd does it.
activated() { # ARGUMENT…
    command -v systemd-socket-activate >/dev/null || skip "systemd-socket-activate is not installed"
    local name=()
    for name in HOME XDG_RUNTIME_DIR XDG_STATE_HOME XDG_DATA_HOME NOTIFY_SOCKET LC_ALL; do
        passed+=(-E "$name")
    done
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    serve_in_background systemd-socket-activate -l "127.0.0.1:$port" "${passed[@]}" "$TORPOR" "$@"
    until_true grep -q 'Listening on' service.err
}

wakes_for_connections() {
    local passed=()
    make_stored web
    listen_to_notes
    activated resume web --on-term save --idle-save 1 -p listen:80
    # The first connection starts the service, wakes the machine, and is there when it is awake.
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    until_true grep -q 'web is awake' service.err
    answers web nonce "$nonce"
    answers web "fill 16 2 9" "filled 512"
    echo hello >&5 || fail "the connection is gone"
    # It is published on a port of its own, and the guest's is connected to.
    same "the port of the guest" "$("$TORPOR" port web --json | json "[p['guest'] for p in d]")" "[80]"
    exec 5>&-
    until_true grep -q 'web is asleep' service.err
    same "how it ended" "$(ended_as web)" exited:saved
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    until_true has_woken_twice
    answers web "check 16 2 9" "check ok"
    kill -TERM "$service"
    ended 0
    same "how it ended" "$(ended_as web)" exited:saved
    same "what systemd was told" "$(grep -c STATUS=asleep "$notes")" 2
}
try wakes_for_connections "-p listen: a connection wakes it, idleness saves it, the next one wakes it again"

asleep_by_term() {
    local passed=()
    make_stored web
    cp "$XDG_DATA_HOME/torpor/web.torpor" before
    activated resume web --idle-save 1 -p listen:80
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    until_true grep -q 'web is awake' service.err
    exec 5>&-
    until_true grep -q 'web is asleep' service.err
    cp "$XDG_DATA_HOME/torpor/web.torpor" asleep
    kill -TERM "$service"
    ended 0
    cmp asleep "$XDG_DATA_HOME/torpor/web.torpor" || fail "it was written once more"
    # What cannot wake is an error, and the connection is not taken.
    rm "$XDG_DATA_HOME/torpor/web.torpor"
    passed=()
    refuses 122 'web' resume web --idle-save 1 -p listen:80
}
try asleep_by_term "TERM while it sleeps; nothing to wake"

# Somebody listens at $port, and says nothing to who connects; silent.err tells of the first.
be_silent() {
    python3 -c '
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
kept = s.accept()
print("connected", file=sys.stderr, flush=True)
s.accept()
' >silent.out 2>silent.err &
    services="$services $!"
    trap 'kill $services 2>/dev/null' EXIT
    until_true test -s silent.out
    port=$(<silent.out)
}

stopped_at_start() {
    be_silent
    serve_in_background "$TORPOR" run --on-term poweroff "docker://127.0.0.1:$port/web:1"
    until_true grep -q connected silent.err
    kill -TERM "$service"
    ended 143
    same "machines" "$("$TORPOR" ps -a -q)" ""
}
try stopped_at_start "a signal while it waits for a registry ends it, and there is no machine"

hung_up() {
    make_stored web
    listen_to_notes
    serve_in_background nohup "$TORPOR" resume --on-term save web
    until_true grep -q READY=1 "$notes"
    kill -HUP "$service"
    answers web nonce "$nonce"
    kill -TERM "$service"
    ended 0
    same "how often it was saved" "$(grep -c STATUS=saving "$notes")" 1
    grep -q "goes on" service.err && fail "$(<service.err)"
    true
}
try hung_up "below nohup a service does not end with its terminal"

has_failed_again() { # TIMES-BEFORE
    [ "$(grep -c 'goes on' service.err)" -gt "$1" ]
}

disk_full() {
    local failed passed=() store=$PWD/disk
    mkdir disk
    mount -t tmpfs -o size=64M tmpfs disk 2>/dev/null || skip "mounting needs root"
    export XDG_DATA_HOME=$store
    make_stored web
    cp disk/torpor/web.torpor before
    listen_to_notes
    activated resume web --idle-save 1 -p listen:80
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    until_true grep -q 'web is awake' service.err
    answers web "fill 16 2 9" "filled 512"
    dd if=/dev/zero of=disk/filler bs=4k status=none 2>/dev/null
    exec 5>&-
    until_true grep -q 'web goes on: saving: .*No space left' service.err
    cmp before disk/torpor/web.torpor || fail "the old file was touched"
    same "what is there" "$(ls -A disk/torpor)" "web.torpor"
    answers web nonce "$nonce"
    rm disk/filler
    # Nobody connects: it is tried again.
    until_true grep -q 'web is asleep' service.err
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    until_true has_woken_twice
    answers web nonce "$nonce"
    answers web "check 16 2 9" "check ok"
    # The same by TERM.
    dd if=/dev/zero of=disk/filler bs=4k status=none 2>/dev/null
    answers web "fill 24 2 3" "filled 512"
    cp disk/torpor/web.torpor "$SCRATCH/files/before"
    failed=$(grep -c 'goes on' service.err)
    kill -TERM "$service"
    until_true has_failed_again "$failed"
    cmp "$SCRATCH/files/before" disk/torpor/web.torpor || fail "the old file was touched"
    rm disk/filler
    kill -TERM "$service"
    ended 0
    works resume -d -n again web
    answers again "check 24 2 3" "check ok"
}
try disk_full "the disk is full: the machine and its old file stay, and it is tried again"

bad_services() {
    make_stored web
    refuses 125 'stop, save or kill' resume --on-term off web
    refuses 125 'needs a -p listen' resume --idle-save 5 web
    refuses 125 'no, on-failure' resume --restart=sometimes web
    refuses 125 'wakes when somebody connects' resume --restart=always -p listen:80 web
    refuses 125 '--on-term, -p listen. stays in the foreground' resume -d --on-term save web
    refuses 125 'no socket was passed' resume -p listen:80 web
    refuses 125 'listen:PORT' resume -p listen=:80 web
    refuses 125 'the port of -p listen' resume -p listen:x web
    refuses 125 'torpor resume' run -p listen:80 --kernel "$TINY"
    refuses 125 '--idle-save' run --idle-save 5 --kernel "$TINY"
    works tag web kept:1
    rm "$XDG_DATA_HOME/torpor/web.torpor"
    refuses 125 'never changes' resume --on-term save kept:1
}
try bad_services "services that cannot be: 125 and one line"

the_units() {
    local unit
    command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
    for unit in torpor@.service torpor@.socket; do
        sed "s,/usr/bin/torpor,$TORPOR," "$service_units/$unit" >"$unit"
    done
    systemd-analyze verify --man=no ./torpor@.service ./torpor@.socket >verify.out 2>&1 || fail "$(<verify.out)"
    same "what systemd says of them" "$(grep torpor verify.out)" ""
}
try the_units "the units are what systemd takes"

# The process of a machine, other than $1.
other_process() { # PROCESS NAME
    process=$("$TORPOR" inspect --json "$2" 2>/dev/null | json "d.get('pid', '')" 2>/dev/null) &&
        [ -n "$process" ] && [ "$process" != "$1" ]
}

is_killed() { # NAME
    [ "$(ended_as "$1")" = exited:killed ]
}

comes_again() {
    local before
    works run -d -n again --restart=always --kernel "$TINY"
    same "what it prints" "$out" again
    until_true other_process "" again
    before=$process
    kill -KILL "$before"
    until_true other_process "$before" again
    before=$process
    "$TORPOR" console again <<<poweroff >/dev/null
    until_true other_process "$before" again
    # Who kills it means it.
    works kill again
    until_true is_killed again
    "$TORPOR" events --json --since 1h --until 0 again >events
    same "starts" "$(grep -c '"event":"started"' events)" 3
}
try comes_again "--restart always: it is started again, in the background, when its process dies and when it switches itself off"

only_on_failure() {
    serve_in_background "$TORPOR" run -n well --restart=on-failure --kernel "$TINY"
    until_true other_process "" well
    "$TORPOR" console well <<<poweroff >/dev/null
    ended 0
    serve_in_background "$TORPOR" run -n badly --restart=on-failure:1 --kernel "$TINY"
    until_true other_process "" badly
    kill -KILL "$process"
    until_true other_process "$process" badly
    kill -KILL "$process"
    ended 125
    grep -q 'badly has ended: it starts again in 0.1 s' service.err || fail "$(<service.err)"
}
try only_on_failure "--restart on-failure:1: not when it switches itself off, and no more than once"

gives_up_waiting() {
    works run -d -n looping --restart=always --kernel "$TINY"
    process=
    # Once it waits for a minute at most, and holds its name.
    until_true waits_to_start looping
    works kill looping
    works run -d -n looping --kernel "$TINY"
}

waits_to_start() { # NAME
    local pid
    pid=$("$TORPOR" inspect --json "$1" 2>/dev/null | json "d.get('pid', '')" 2>/dev/null)
    [ -z "$pid" ] || kill -KILL "$pid"
    is_state "$1" busy && sleep 0.3 && is_state "$1" busy
}
try gives_up_waiting "a machine that waits to be started again can be killed, and its name is free then"

killed_by_term() {
    serve_in_background "$TORPOR" run -n short --on-term=kill --kernel "$TINY"
    until_true other_process "" short
    kill -TERM "$service"
    ended 137
}
try killed_by_term "--on-term kill: it ends at once"

# Between a machine and the next nobody holds the name for a moment.
ended_as_it_comes_again() {
    local i verb
    for i in 1 2 3 4 5 6; do
        verb=kill
        [ $((i % 2)) = 1 ] || verb="stop -t 0"
        works run -d -n "m$i" --restart=always --kernel "$TINY"
        until_true other_process "" "m$i"
        kill -KILL "$process"
        sleep "0.0$i"
        # shellcheck disable=SC2086 # two words
        works_silently $verb "m$i"
        works run -d -n "m$i" --kernel "$TINY"
        works_silently kill "m$i"
    done
}
try ended_as_it_comes_again "kill and stop of a machine that has died and is just being started again end it for good"
