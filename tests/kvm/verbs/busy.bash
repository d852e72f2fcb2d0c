# A machine that is being saved: it answers, it can be ended, and who gives up a save loses nothing.

# web, whose full save takes a while at the highest level; nonce and pattern are in it, too.
boot_big() {
    boot web -m 256M
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    answers web "rngfill 32 200" "filled 51200"
}

# web, saving into a pipe that nobody reads: $saver.
stall() { # OPTION…
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    mkfifo pipe
    exec {pipe}<>pipe
    env --default-signal=INT "$TORPOR" save web --flat -o - "$@" >pipe 2>said {pipe}>&- &
    saver=$!
    until_true is_saving web
}

is_saving() { # NAME
    [ "$(state_of "$1")" = saving ]
}

is_running() { # NAME
    [ "$(state_of "$1")" = running ]
}

answers_while_saving() {
    stall
    works ps --json
    matches percent "$(json "d[0]['percent']" <<<"$out")" '^[0-9]+$'
    works ps
    matches ps "$out" 'web +saving [0-9]+%'
    for verb in pause unpause stop inspect stats port console; do
        refuses 125 "machine web is busy: saving, [0-9]+ %" $verb web
    done
    refuses 125 "machine web is busy: saving, [0-9]+ %" save web
    cat pipe >web.torpor {pipe}>&- &
    local reader=$!
    wait $saver
    same "status of save" "$?" 0
    exec {pipe}>&-
    wait $reader
    works wait web
    same wait "$out" saved
    works resume -d web.torpor
    is_same_guest web
}
try answers_while_saving "a machine that is saving says how far it is, and is busy for all else"

ends_while_saving() { # COMMAND…
    stall
    "$@"
    call wait web
    same wait "$(<"$SCRATCH/out")" killed
    wait $saver
    same "status of save" "$?" 125
    matches said "$(<said)" '^torpor: save: (the save of web was cancelled: the machine was killed|machine web ended without an answer)$'
    works ps -q
    same "ps" "$out" ""
}

killed() {
    ends_while_saving works_silently kill web
}
try killed "kill ends a machine whose reader does not read"

terminated() {
    ends_while_saving eval 'kill -TERM "$("$TORPOR" ps --json | json "d[0][\"pid\"]")"'
}
try terminated "SIGTERM ends it, too"

# A client that goes away, for each way to go.
given_up() { # SIGNAL
    kill -"$1" $saver
    wait $saver
    until_true is_running web
    is_same_guest web
}

streams_given_up() {
    local signal
    stall
    given_up INT
    for signal in HUP TERM KILL; do
        "$TORPOR" save web --flat -o - >pipe 2>said &
        saver=$!
        until_true is_saving web
        given_up $signal
    done
    "$TORPOR" save web -R --flat -o - >pipe 2>said &
    saver=$!
    until_true is_saving web
    given_up KILL
    grep -q 'a save was cancelled: its client has gone away' "$XDG_STATE_HOME/torpor/web/torpor.log" ||
        fail "$(<"$XDG_STATE_HOME/torpor/web/torpor.log")"
}
try streams_given_up "save -o - whose client is gone: the machine runs on"

files_given_up() {
    local signal before
    boot_big
    works save web -R -o web.torpor
    before=$(sha256sum web.torpor)
    for signal in INT KILL; do
        env --default-signal=INT "$TORPOR" save web --level 19 -o web.torpor >said 2>&1 &
        saver=$!
        until_true is_saving web
        given_up $signal
        same "the old file" "$(sha256sum web.torpor)" "$before"
        same "files" "$(ls -A)" "said
web.torpor"
    done
    works save web -o web.torpor
    works resume -d web.torpor
    is_same_guest web
}
try files_given_up "save -o FILE whose client is gone: the old file stays, no temporary does, and the next save is whole"

paused_stays_paused() {
    stall_paused
    kill -KILL $saver
    wait $saver
    until_true is_paused web
    works_silently unpause web
    is_same_guest web
}

stall_paused() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    works_silently pause web
    mkfifo pipe
    exec {pipe}<>pipe
    "$TORPOR" save web --flat -o - >pipe 2>said &
    saver=$!
    until_true is_saving web
}

is_paused() { # NAME
    [ "$(state_of "$1")" = paused ]
}
try paused_stays_paused "a paused machine whose save is given up stays paused"

# A client that does by hand what save does: it has the machine write `file` for `path`, then does
# what is said, and goes away. Prints the answer to the save.
by_hand() { # NAME FILE PATH publish|leave|say OPTION…
    python3 - "$XDG_RUNTIME_DIR/torpor/$1/control" "${@:2}" <<'PYTHON'
import json, os, socket, sys
control, file, path, then, *options = sys.argv[1:]
peer = socket.socket(socket.AF_UNIX)
peer.connect(control)
flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if not os.path.exists(file) else 0)
fds = [os.open(file, flags, 0o600)] if file != "-" else []
request = {"do": "save", "path": path, "full": True, "level": 3} | {o: True for o in options}
socket.send_fds(peer, [json.dumps(request).encode() + b"\n"], fds)
lines = peer.makefile()
answer = json.loads(lines.readline())
print(json.dumps(answer))
if then == "publish" or then == "say":
    os.rename(file, path)
if then == "say":
    peer.send(b'{"do":"published","done":true}\n')
    print(lines.readline().strip())
PYTHON
}

unpublished() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    out=$(by_hand web part web.torpor leave)
    matches answer "$out" 'needs an absolute'
    out=$(by_hand web - "$PWD/web.torpor" leave)
    matches answer "$out" 'needs a descriptor'
    echo text >text
    out=$(by_hand web text "$PWD/web.torpor" leave)
    matches answer "$out" 'not that of an empty file'
    same "the file that was given" "$(<text)" text
    : >part
    out=$(by_hand web part "$PWD/web.torpor" leave)
    matches answer "$out" '"publish": true'
    until_true is_running web
    is_same_guest web
    grep -q 'a save was cancelled: its client has gone away' "$XDG_STATE_HOME/torpor/web/torpor.log" ||
        fail "$(<"$XDG_STATE_HOME/torpor/web/torpor.log")"
    # It is whole, although nobody has named it.
    works verify part
    [ ! -e web.torpor ] || fail "it has a name"
}
try unpublished "a save whose client goes away before the file has its name: the machine runs on"

published_last() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    out=$(by_hand web part "$PWD/web.torpor" say leave-running)
    matches answer "$out" '"ok":true'
    until_true is_running web
    works inspect web --json
    same "the next increment's parent" "$(json "d['base']['file']" <<<"$out")" "$PWD/web.torpor"
    out=$(by_hand web part "$PWD/again.torpor" publish)
    matches answer "$out" '"publish": true'
    works wait web
    same wait "$out" saved
    works resume -d again.torpor
    is_same_guest web
}
try published_last "one whose client goes away behind that: the machine is saved"

held_for_its_name() {
    local peer
    boot web
    exec {peer}< <(python3 - "$XDG_RUNTIME_DIR/torpor/web/control" "$PWD/web.torpor" <<'PYTHON'
import os, socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
fd = os.open("part", os.O_RDWR | os.O_CREAT, 0o600)
request = '{"do":"save","path":"%s","full":true,"level":3}\n' % sys.argv[2]
socket.send_fds(peer, [request.encode()], [fd])
print(peer.makefile().readline().strip(), flush=True)
time.sleep(60)
PYTHON
    )
    local helper=$!
    read -r -t "$PATIENCE" out <&"$peer"
    matches answer "$out" '"publish":true'
    same state "$(state_of web)" saving
    refuses 125 "machine web is being saved" unpause web
    refuses 125 "machine web is being saved" save web -o other.torpor
    refuses 125 "machine web is being saved" save web -R -o -
    same "files" "$(ls -A)" part
    works_silently kill web
    kill $helper
}
try held_for_its_name "until then it is held: nobody lets it go on, nor saves it once more; kill ends it"

asked_meanwhile() {
    boot_big
    "$TORPOR" save web --level 19 -o web.torpor >said 2>&1 &
    saver=$!
    until_true is_saving web
    wait $saver
    same "status of save, which said '$(<said)'" "$?" 0
    works resume -d web.torpor
    is_same_guest web
}
try asked_meanwhile "one that was asked how far it is while it wrote is held for its own client"

# A machine that says its file is written, and is killed: before the file has its name, or right behind that.
killed_machine() { # before|behind
    mkdir -p -m 700 "$XDG_RUNTIME_DIR/torpor" "$XDG_RUNTIME_DIR/torpor/fake"
    python3 - "$XDG_RUNTIME_DIR/torpor/fake/control" "$1" <<'PYTHON' &
import os, signal, socket, struct, sys
path, when = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
peer = listener.accept()[0]
request = peer.recv(65536)
assert b'"do":"save"' in request, request
os.unlink(path)
listener.close()
client = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
if when == "before":
    os.kill(client, signal.SIGSTOP)
peer.send(b'{"ok":true,"publish":true,"path":"-","bytes":0,"seconds":0.0,"encrypted":true}\n')
while when == "behind" and b'"published"' not in peer.recv(65536):
    pass
peer.close()
os.kill(client, signal.SIGCONT)
PYTHON
    until_true test -S "$XDG_RUNTIME_DIR/torpor/fake/control"
}

killed_before_the_name() {
    echo old >web.torpor
    killed_machine before
    refuses 125 "web.torpor is as it was: machine fake ended" save fake -o web.torpor
    same "the old file" "$(<web.torpor)" old
    same "files" "$(ls -A)" web.torpor
}
try killed_before_the_name "a machine that is killed before its file has its name is not saved, and the old file stays"

killed_behind_the_name() {
    killed_machine behind
    call save fake -o web.torpor
    same status "$status" 0
    matches "what is said" "$(<"$SCRATCH/err")" 'web.torpor is in place; machine fake was killed at that moment'
    [ -e web.torpor ] || fail "there is no file"
}
try killed_behind_the_name "one that is killed right behind that is saved, and the save says so"
