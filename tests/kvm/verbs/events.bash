# What events tells of machines that start, pause, are saved, reset, cloned, end, and are killed.

# Follow into the file `seen`: NAME EVENT a line, and the last words of each.
follow() { # ARGUMENT…
    "$TORPOR" events --json "$@" >seen 2>told &
    follower=$!
    # It has its watches once it has read the past: that is there to be seen.
    until_true grep -q . seen
}

seen() { # NAME: the events of a machine, in one line
    python3 -c "
import json, sys
print(*[e['event'] for e in map(json.loads, open('seen')) if e['name'] == sys.argv[1]])" "$1"
}

has_seen() { # NAME EVENT…
    [ "$(seen "$1")" = "${*:2}" ]
}

begin_following() { # ARGUMENT…
    works run -d --name first --kernel "$TINY" -m 32M
    follow --since 1h "$@"
}

life() {
    begin_following
    boot a
    works_silently pause a
    works_silently pause a
    works_silently unpause a
    works save -R a -o "$PWD/a.torpor"
    works save a -o "$PWD/a.torpor" --force
    until_true has_seen a started paused unpaused saving saved saving saved exited
    works resume -d --golden --paused --name a a.torpor
    works_silently unpause a
    works reset a
    works_silently kill a
    until_true has_seen a started paused unpaused saving saved saving saved exited \
        resumed unpaused reset exited
    works_silently kill first # which was there before
    until_true has_seen first started exited
    kill "$follower"
    same "standard error" "$(<told)" ""
}
try life "events: start, pause, save, resume, reset, end, of machines that are there and of new ones"

details() {
    boot a
    works save -R a -o "$PWD/a.torpor"
    works_silently kill a
    works events --since 1h --until 0
    same "lines" "$(sed -E 's/^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z a +//; s/pid=[0-9]+/pid=N/' <<<"$out")" \
        "started pid=N file=$TINY
saving file=$PWD/a.torpor goes-on
saved file=$PWD/a.torpor
exited end=killed exit-status=137"
    works events --json --since 1h --until 0 a
    same "exited" "$(tail -n 1 <<<"$out" | json "d['event'], d['name'], d['end'], d['exit-status'], d['time'] > 10**18")" \
        "exited a killed 137 True"
    works events --since 1h --until 0 b
    same "of another machine" "$out" ""
    refuses 125 "--until is before --since" events --since @9000000000 --until 0
    works events --until 0
    same "without a past" "$out" ""
    works_silently rm a
    works events --since 1h --until 0
    same "behind rm" "$out" ""
    refuses 125 "needs a time ago" events --since yesterday
    refuses 125 "needs a time ago" events --until 1w
    refuses 125 "--until is before --since" events --since 1h --until 2h
    refuses 125 "--until is in the past" events --until 1h
    works_silently events --since 0 --until 0
    refuses 125 "a b" events 'a b'
}
try details "events --since --until: what belongs to each event; a machine that is removed has none"

dead() {
    begin_following
    boot a
    kill -9 "$("$TORPOR" inspect --json a | json "d['pid']")"
    until_true has_seen a started dead
    works run -d --rm --name a --kernel "$TINY" -m 32M
    works_silently kill a
    until_true has_seen a started dead started exited
    [ ! -e "$XDG_STATE_HOME/torpor/a" ] || fail "--rm left something"
    boot a
    until_true has_seen a started dead started exited started
    kill "$follower"
}
try dead "events: a killed process is dead; --rm and the same name again"

cloned() {
    begin_following
    boot a
    works clone -c 2 a
    until_true has_seen a started cloned
    until_true has_seen a-1 resumed
    until_true has_seen a-2 resumed
    # Not of a file that has a name.
    same "the file of a clone" "$(grep -c '"name": *"a-1".*"file"\|"file".*"name": *"a-1"' seen)" 0
    refuses 122 . save a -o /no/such/folder/a.torpor
    # The folder is looked for before the machine is asked.
    has_seen a started cloned || fail "$(seen a)"
    # A reader that goes away.
    "$TORPOR" save -R a -o - 2>/dev/null | head -c 1000 >/dev/null
    until_true has_seen a started cloned saving save-failed
    answers a "ping on" "pong on"
    kill "$follower"
}
try cloned "events: a copy for clones, and the clones"

# When the name is told to be over, it can be used.
restarts() {
    local line i
    works run -d --name r --kernel "$TINY" -m 32M
    coproc follow_r { exec "$TORPOR" events --since 1h r; }
    for ((i = 0; i < 5; i++)); do
        until read -r -t "$PATIENCE" -u "${follow_r[0]}" line && [[ $line == *started* ]]; do :; done
        works_silently kill r
        until read -r -t "$PATIENCE" -u "${follow_r[0]}" line && [[ $line == *exited* ]]; do :; done
        works run -d --name r --kernel "$TINY" -m 32M
    done
    # shellcheck disable=SC2154 # coproc sets it
    kill "$follow_r_PID"
}
try restarts "events: whoever hears of an end can use the name"

# More events than a pipe and the kernel's queue hold, while the reader does not read.
deaf_reader() {
    boot d
    works save d -o "$PWD/d.torpor"
    works resume -d --golden --name d d.torpor
    mkfifo out
    "$TORPOR" events d >out &
    local pid=$! from i
    exec {from}<out
    for ((i = 0; i < 2000; i++)); do
        printf '{"do":"reset"}\n'
    done | python3 -c "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile('rw')
for line in sys.stdin:
    f.write(line)
    f.flush()
    assert '\"ok\": true' in f.readline().replace('\"ok\":true', '\"ok\": true')
" "$XDG_RUNTIME_DIR/torpor/d/control" || fail "the machine was held up"
    answers d "ping x" "pong x"
    [ "$(stat -c %s "$XDG_STATE_HOME/torpor/d/events")" -le 131072 ] || fail "the log is not bounded"
    exec {from}<&-
    wait "$pid" || fail "it does not end with its pipe"
}
try deaf_reader "events: a reader that does not read holds up nothing, and ends with its pipe"

# JSON may hold controls that a terminal acts on.
on_a_terminal() {
    mkdir -p "$XDG_STATE_HOME/torpor/a"
    printf '{"time":1,"event":"x","error":"\302\233\342\200\256"}\n' >"$XDG_STATE_HOME/torpor/a/events"
    works events --json --since @0 --until 0
    same "to a file" "$(json "len(d['error'])" <<<"$out")" 2
    python3 - "$TORPOR" <<'PYTHON' || fail "a control reached the terminal"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["torpor", "events", "--json", "--since", "@0", "--until", "0"])
seen = b""
try:
    while more := os.read(fd, 4096):
        seen += more
except OSError:
    pass
sys.exit(not (b'"x"' in seen and b"u009" in seen and seen.isascii()))
PYTHON
}
try on_a_terminal "events --json on a terminal: no control reaches it"
