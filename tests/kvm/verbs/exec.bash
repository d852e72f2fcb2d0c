# exec and cp without anybody in the guest to serve them: what is told, and that nobody waits for ever.

exec_refused() {
    boot e
    refuses 125 'no guest agent answers; is qemu-guest-agent installed in the guest' exec e -- true
    works_silently pause e
    refuses 125 'machine e is paused' exec e -- true
    refuses 125 'machine e is paused' cp e:/etc/hostname .
    works_silently unpause e
    refuses 122 "no machine named nobody" exec nobody -- true
    refuses 122 "no machine named nobody" cp nobody:/x .
    refuses 125 "the command is missing" exec e
    refuses 125 "NAME is missing" exec
    refuses 125 "detach excludes -i, -t and --timeout" exec -d -i e -- true
    refuses 125 "--timeout" exec --timeout x e -- true
    refuses 125 "--env needs K=V" exec -e =x e -- true
    refuses 125 "standard input is not a terminal: leave out -t" exec -it e -- true
    answers e "ping still" "pong still"
    works_silently kill e
}
try exec_refused "exec says why it cannot"

# Standard input is read once the machine has taken the command.
typed_is_read() {
    ! read -r -t 0 -u "$keys"
}

exec_ended() { # what ends the machine meanwhile, and how that is told
    boot m
    open_keys
    echo typed >&"$keys"
    timeout "$PATIENCE" "$TORPOR" exec -i m -- true <&"$keys" >out 2>err &
    local client=$!
    until_true typed_is_read
    works "${@:2}" m
    wait "$client"
    same "status" "$?" 125
    same "standard output" "$(<out)" ""
    same "what is told" "$(<err)" "torpor: exec: machine m has ended ($1) before the command did"
}
exec_killed() {
    exec_ended killed kill
}
exec_saved() {
    exec_ended saved save -o "$PWD/m.torpor"
}
try exec_killed "a machine that is killed ends exec with an error"
try exec_saved "a machine that is saved ends exec with an error"

exec_reset() {
    boot g
    works save g -o "$PWD/g.torpor"
    works resume -d --golden --name g g.torpor
    open_keys
    echo typed >&"$keys"
    timeout "$PATIENCE" "$TORPOR" exec -i g -- true <&"$keys" >out 2>err &
    local client=$!
    until_true typed_is_read
    works_silently reset g
    wait "$client"
    same "status" "$?" 125
    same "what is told" "$(<err)" "torpor: exec: machine g was reset before the command ended"
    answers g "ping on" "pong on"
}
try exec_reset "a machine that is reset in place ends exec with an error"

exec_patience() {
    boot a
    refuses 124 "waited 1 s for the guest agent" exec --timeout 1 a -- true
    # Longer than the machine waits in one go; the input is still there for who comes next.
    echo kept >kept
    (
        timeout "$PATIENCE" "$TORPOR" exec -i --timeout 12 a -- cat 2>err
        echo "$?" >status
        cat >left
    ) <kept
    same "status" "$(<status)" 124
    matches "what is told" "$(<err)" '^torpor: exec: (waited 12 s for the guest agent|no guest agent answers.*)$'
    same "the input" "$(<left)" kept
    python3 - "$TORPOR" <<'PYTHON' || fail "nothing is told"
import os, pty, signal, sys
for verb in ["exec", "a", "--", "true"], ["cp", "a:/x", "."]:
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], ["torpor"] + verb)
    seen = b""
    while b"torpor: %s: waiting for the guest agent" % verb[0].encode() not in seen:
        seen += os.read(fd, 4096)
    # Nothing has been run yet, so the first one is enough.
    os.kill(pid, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (130, -2)
PYTHON
}
try exec_patience "exec --timeout waits for an agent so long; on a terminal it says so; ^C ends it"

# Files that are not there yet are those of the clients that come last.
one_is_refused() {
    grep -q 'too many commands run at once' err.*
}

exec_many() {
    local clients=() client i
    boot q
    # They wait for an agent, so that all are there at one time however slow this host is.
    for ((i = 0; i < 260; i++)); do
        timeout "$PATIENCE" "$TORPOR" exec --timeout "$PATIENCE" q -- true 2>"err.$i" &
        clients+=($!)
    done
    until_true one_is_refused
    answers q "ping many" "pong many"
    works_silently kill q
    for client in "${clients[@]}"; do
        wait "$client" && fail "a command ran"
    done
    matches "what the others are told" "$(sort -u err.*)" 'machine q has ended \(killed\) before the command did'
}
try exec_many "more clients than are served"

# A line on a terminal says that it waits: then the machine has taken the command.
cp_begin() { # LOG ARGUMENT…
    local log=$1
    shift
    script -qefc "exec '$TORPOR' cp $*" /dev/null >"$log" 2>&1 </dev/null &
    copying="${copying-} $!"
    until_true grep -q "torpor: cp: waiting for" "$log"
}

cp_ended() { # HOW THAT IS TOLD VERB…
    local client
    boot m
    works save m -o "$PWD/g.torpor"
    works resume -d --golden --name m g.torpor
    mkdir tree
    cp_begin out.log m:/etc out
    cp_begin into.log tree m:/tmp
    works "${@:2}"
    for client in $copying; do
        wait "$client"
        same "status" "$?" 125
    done
    grep -q "torpor: cp: machine m $1" out.log || fail "$(<out.log)"
    grep -q "torpor: cp: machine m $1" into.log || fail "$(<into.log)"
    [ ! -e out ] || fail "it left $(ls -R out)"
}
cp_killed() { cp_ended "has ended .killed. before the command did" kill m; }
cp_saved() { cp_ended "has ended .saved. before the command did" save m -o "$PWD/m.torpor"; }
cp_reset() { cp_ended "was reset before the command ended" reset m; }
try cp_killed "a machine that is killed ends cp, both ways, with an error"
try cp_saved "a machine that is saved ends cp with an error"
try cp_reset "a machine that is reset in place ends cp with an error"

cp_refused() {
    boot p
    refuses 125 "one of the two must be NAME:PATH" cp a b
    refuses 125 "one of the two must be NAME:PATH" cp p:/a p:/b
    refuses 125 "TARGET is missing" cp p:/a
    refuses 125 "names no file in the guest" cp p: b
    refuses 125 "p q" cp 'p q:/a' b
    refuses 122 "no-such: No such file or directory" cp no-such p:/tmp
    works_silently kill p
}
try cp_refused "cp says what is wrong"
