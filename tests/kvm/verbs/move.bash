# move and receive: whatever fails or is cut, the machine runs in one place, or is paused in one and says so.

nobody_there_left() {
    same "machines on the other host" "$(./far ps -q)" ""
}

# It must have done without a pause that lasts.
runs_here() { # NAME NONCE
    same "state of $1" "$(state_of "$1")" running
    same "nonce" "$(say "$1" nonce)" "$2"
}

moving() {
    local nonce before
    other_host
    boot web -m 32M
    nonce=$(say web nonce)
    say web "fill 16 2 3" >/dev/null
    before=$(say web count)
    call move web -- ./far receive
    same "status and name" "$status $(<"$SCRATCH/out")" "0 web"
    same "state here" "$(state_of web)" exited
    call wait web
    same "wait" "$status $(<"$SCRATCH/out")" "0 moved"
    same "machines there" "$(./far ps -q)" web
    same "nonce there" "$(there say web nonce)" "$nonce"
    same "memory there" "$(there say web "check 16 2 3")" "check ok"
    [ $(($(there say web count | sed 's/count //') - ${before#count })) -gt 0 ] || fail "its counter went back"
    there works_silently kill web
}
try moving "move: it ends here and goes on there, with its memory and its counter"

moving_on() {
    local nonce i
    other_host
    boot m
    nonce=$(say m nonce)
    for i in 1 2 3; do
        works_loudly move m --flat -- ./far receive --name "m$i"
        HOME=$PWD/there XDG_RUNTIME_DIR=$PWD/there/run XDG_STATE_HOME=$PWD/there/state \
            XDG_DATA_HOME=$PWD/there/data works_loudly move "m$i" -- env HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" \
            XDG_STATE_HOME="$XDG_STATE_HOME" XDG_DATA_HOME="$XDG_DATA_HOME" "$TORPOR" receive --name m
        same "nonce" "$(say m nonce)" "$nonce"
    done
}

# On a terminal a line says that it waits: then the machine has taken it.
moved_from_a_command() {
    other_host
    boot m
    script -qefc "exec '$TORPOR' exec --timeout '$PATIENCE' m -- true" /dev/null >exec.log 2>&1 </dev/null &
    local client=$!
    until_true grep -q "waiting for the guest agent" exec.log
    works_loudly move m -- ./far receive
    wait "$client"
    same "status" "$?" 125
    matches "what exec tells" "$(<exec.log)" "torpor: exec: machine m has ended .moved. before the command did"
    same "state there" "$(there state_of m)" running
    there works_silently kill m
}
try moved_from_a_command "move: a command in the middle is told, and the machine goes on there"

try moving_on "there and back three times"

paused_there() {
    other_host
    boot p
    works_loudly move p -- ./far receive --paused
    same "state there" "$(there state_of p)" paused
    there works_silently unpause p
    same "state there" "$(there state_of p)" running
    there works_silently kill p
}
try paused_there "receive --paused"

paused_here() {
    local nonce
    other_host
    boot p
    nonce=$(say p nonce)
    works_silently pause p
    works_loudly move p -- ./far receive
    same "state there" "$(there state_of p)" paused
    there works_silently unpause p
    same "nonce there" "$(there say p nonce)" "$nonce"
    there works_silently kill p
}
try paused_here "a machine that is paused stays paused on the other host"

# What the other host lacks it says when nothing of the machine is there yet.
early() {
    local port
    other_host
    boot one --net user -p 127.0.0.1:0:80 --vsock "$PWD/s"
    port=$("$TORPOR" port one --json | json "d[0]['host']")
    there works run -d --name taken --kernel "$TINY" -m 32M --net none
    for wanted in "--name taken|the name taken is in use" "--net lan=shop|there is no LAN shop" \
        "-p 127.0.0.1:$port:80|port 127.0.0.1:$port/tcp is taken" \
        "--vsock $PWD/s|--vsock $PWD/s: another process listens there"; do
        # shellcheck disable=SC2086
        timeout "$PATIENCE" $PEER source silent - -- ./far receive ${wanted%|*} >said 2>err
        matches "${wanted%|*}" "$(<said)" "^failed ${wanted#*|}.*status 12[25]"
        same "what receive said" "$(<err)" ""
    done
    refuses 125 "other host refused it: the name taken is in use" move one -- ./far receive --name taken
    same "state here" "$(state_of one)" running
}
try early "receive: a name, LAN, port or socket that cannot be had is told before anything is sent, in one line"

# It must be alive to say it; what it said instead is shown.
waits_for() { # PID LINE
    until grep -q "^torpor: $2$" err; do
        kill -0 "$1" 2>/dev/null || fail "ended without '$2':" "$(<err)"
        sleep 0.05
    done
}

silent_sides() {
    local client
    boot s
    answers s "rngfill 16 8" "filled 2048"
    mkfifo go
    "$TORPOR" move s -- sh -c "read -r _ <go; exec $PEER target slow" >said 2>err &
    client=$!
    waits_for "$client" "move: waiting for the command to answer as torpor receive"
    echo >go
    waits_for "$client" "move: waiting for the other host to take more of the machine"
    echo >go
    waits_for "$client" "move: waiting for the other host to check and stage the machine"
    echo >go
    waits_for "$client" "move: waiting for the other host to start the machine"
    echo >go
    wait "$client"
    same "status" "$?" 0
    same "name" "$(<said)" elsewhere
}
try silent_sides "move says what it waits for when the other side is silent"

silent_source() {
    local client
    other_host
    boot s
    works save s -o file.torpor
    mkfifo go
    $PEER source slow file.torpor -- ./far receive >said 2>err &
    client=$!
    waits_for "$client" "receive: waiting for the other host to send more of the machine"
    echo >go
    waits_for "$client" "receive: waiting for the other host to let go of the machine"
    echo >go
    wait "$client"
    same "said" "$(<said)" $'ready \nrunning s\nstatus 0'
    there works_silently kill s
}
try silent_source "receive says what it waits for, too"

taken_port() {
    local nonce port
    other_host
    boot one --net user -p 127.0.0.1:0:80
    port=$("$TORPOR" port one --json | json "d[0]['host']")
    boot two --net user
    nonce=$(say two nonce)
    refuses 125 "other host refused it: .*$port" move two -- ./far receive -p "127.0.0.1:$port:80"
    runs_here two "$nonce"
    nobody_there_left
}
try taken_port "a receiver whose port is taken refuses: the machine goes on here"

refusals() {
    local nonce how
    other_host
    boot r
    nonce=$(say r nonce)
    refuses 125 "command is missing" move r
    refuses 125 "NAME is missing" move
    refuses 122 "nobody" move nobody -- ./far receive
    refuses 125 "/does/not/exist: No such file" move r -- /does/not/exist
    refuses 125 "it said last: hello" move r -- echo hello
    "$TORPOR" receive <<<hello >said 2>"$SCRATCH/err"
    same "status of receive" "$?" 125
    one_line "no torpor move" || fail "$(<"$SCRATCH/err")"
    for how in after-hello in-data after-data garbage long-text refused early-running after-ready version endless; do
        call move r -- $PEER target "$how"
        case $how in
        version) same "status of $how" "$status" 120 ;;
        garbage | long-text | early-running) same "status of $how" "$status" 121 ;;
        *) same "status of $how" "$status" 125 ;;
        esac
        if [ "$how" = after-ready ] && [ "$(state_of r)" = paused ]; then
            # It may have been committed before the end of the stream was seen.
            one_line "not known" || fail "$(report_call move)"
            works_silently unpause r
        fi
        runs_here r "$nonce"
    done
    call move r -- $PEER target refused
    one_line 'no \?\[31mroom' || fail "$(report_call move)"
}
try refusals "a command that is no receiver, dies, lies or refuses: the machine goes on here"

hand_over() {
    local nonce
    boot h
    nonce=$(say h nonce)
    call move h -- $PEER target go-failed
    same "status" "$status" 125
    one_line "it broke" || fail "$(report_call move)"
    runs_here h "$nonce"
    call move h -- $PEER target go-nothing
    same "status" "$status" 125
    one_line "stays paused here.*torpor kill h.*torpor unpause h" || fail "$(report_call move)"
    same "state" "$(state_of h)" paused
    works_silently unpause h
    runs_here h "$nonce"
    works_loudly move h -- $PEER target go-running
    same "name" "$(<"$SCRATCH/out")" elsewhere
    same "state" "$(state_of h)" exited
}
try hand_over "behind GO: it goes on here if the other host says so, stays paused if that says nothing"

killed_mover() {
    local nonce client
    boot k
    nonce=$(say k nonce)
    mkfifo never
    # The receiver reads nothing, so the move stands still in the middle of the data.
    "$TORPOR" move k -- sh -c "echo torpor receive 1; exec cat never" &
    client=$!
    until_true is_paused k
    kill -9 "$client"
    until_true is_running k
    runs_here k "$nonce"
}
is_paused() { # NAME
    [[ $(state_of "$1") == @(paused|saving) ]]
}
is_running() { # NAME
    [ "$(state_of "$1")" = running ]
}
try killed_mover "move is killed in the middle: the machine goes on here"

killed_machine() {
    local client
    boot v
    mkfifo begin
    # It reads all and answers nothing, but not before the machine is dead.
    "$TORPOR" move v -- sh -c "echo torpor receive 1; head -c 100 >/dev/null; read -r _ <begin; exec cat >/dev/null" \
        2>"$SCRATCH/err" &
    client=$!
    until_true is_paused v
    kill -9 "$("$TORPOR" ps --json | json "d[0]['pid']")"
    echo >begin
    until_true is_over "$client"
    wait "$client"
    same "status of move" "$?" 125
    one_line "" || fail "$(<"$SCRATCH/err")"
}
is_over() { # PID
    ! kill -0 "$1"
}
try killed_machine "the machine is killed in the middle of a move: move ends, whatever the other side waits for"

held() {
    local nonce client
    boot l
    nonce=$(say l nonce)
    "$TORPOR" move l -- $PEER target go-wait 2>/dev/null &
    client=$!
    until_true test -e committed
    refuses 125 "being moved" unpause l
    refuses 125 "being moved" resume l
    refuses 125 "being moved" stop l
    refuses 125 "machine l is being moved already" move l -- sh -c "echo torpor receive 1; exec cat >/dev/null"
    kill -9 "$client"
    until_true is_let_go l
    runs_here l "$nonce"
}
is_let_go() { # NAME
    "$TORPOR" unpause "$1"
}
try held "what is being moved is let go on by nobody else, and by its user once the move has died"

receiving() {
    local how
    other_host
    boot s -m 32M
    works_loudly save s -o file.torpor
    for how in half half-end damaged go-first; do
        $PEER source "$how" file.torpor -- ./far receive >said 2>err
        matches "what $how said" "$(<said)" 'status 12[15]'
        nobody_there_left
    done
    for how in not-go kill data-again; do
        $PEER source "$how" file.torpor -- ./far receive >said 2>err
        matches "what $how said" "$(<said)" '^ready'
        until_true is_empty_there
        same "records of $how" "$(./far ps -aq | wc -l)" 1
        ./far rm s
    done
    $PEER source go file.torpor -- ./far receive >said 2>err
    same "said" "$(<said)" $'ready \nrunning s\nstatus 0'
    same "there" "$(there state_of s)" running
    there works_silently kill s
}
is_empty_there() {
    [ -z "$(./far ps -q)" ]
}
try receiving "receive: a source that is cut off, damaged or lets nothing go leaves no machine there"
