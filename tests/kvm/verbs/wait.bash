# wait --until: for a text, a port, a command; and what ends it before.

wait_in_background() { # ARGUMENT…: $waiter, with its streams in out and err
    timeout -k 1 "$PATIENCE" "$TORPOR" wait "$@" >out 2>err </dev/null &
    waiter=$!
}

text_on_the_console() {
    boot t
    answers t "ping early" "pong early"
    works_silently wait --until text:READY t
    works_silently wait --until 'pong early' t
    works_silently wait --until READY --until 'text:pong early' --timeout 60 t
    wait_in_background --until 'text:pong later' t
    answers t "ping other" "pong other"
    kill -0 "$waiter" || fail "it did not wait: $(<err)"
    answers t "ping later" "pong later"
    wait "$waiter" || fail "$(<err)"
    same "what is said" "$(cat out err)" ""
    # In the log that was begun anew, and across the pieces that it is read in.
    local log=$XDG_STATE_HOME/torpor/t/console.log
    mv "$log" "$log.1"
    works_silently wait --until 'pong later' t
    python3 -c "print('x' * 16380 + 'in two pieces')" >"$log"
    works_silently wait --until 'text:in two pieces' t
    works_silently kill t
    # What it has said counts though it is over.
    works_silently wait --until text:READY t
}
try text_on_the_console "wait --until text: before and after it is printed, in an old log, of a machine that is over"

follows_the_log() {
    boot l
    wait_in_background --until 'text:pong rotated' l
    answers l "ping before" "pong before"
    local log=$XDG_STATE_HOME/torpor/l/console.log
    mv "$log" "$log.1"
    printf 'pong rotated\n' >"$log"
    wait "$waiter" || fail "$(<err)"
}
try follows_the_log "wait --until text: a log that is begun anew meanwhile"

# Stopped, it cannot see the log that was begun and replaced in between.
follows_the_log_twice() {
    boot l
    wait_in_background --until 'text:pong rotated' l
    local log=$XDG_STATE_HOME/torpor/l/console.log pid
    waits_at_log() {
        pid=$(pgrep -P "$waiter") && [ -n "$(find "/proc/$pid/fd" -lname "$log")" ]
    }
    until_true waits_at_log
    kill -STOP "$pid"
    mv "$log" "$log.0"
    printf 'pong rotated\n' >"$log.1"
    : >"$log"
    kill -CONT "$pid"
    wait "$waiter" || fail "$(<err)"
}
try follows_the_log_twice "wait --until text: a log that is begun anew twice meanwhile"

ends_before() {
    boot e
    refuses 122 "no machine is named nobody" wait --until READY nobody
    wait_in_background --until never e
    kill -0 "$waiter"
    works_silently kill e
    wait "$waiter"
    same status "$?" 125
    same "what is said" "$(cat out err)" "torpor: wait: machine e has ended (killed) before 'never' on its console"
    refuses 125 "machine e has ended \(killed\) before an answer at port 80" wait --until port:80 e
    refuses 125 "machine e has ended \(killed\) before success of 'true'" wait --until exec:true e
    boot h
    [ "$(say h halt)" = halt ] || fail "it does not halt"
    refuses 125 "machine h is halted before 'never' on its console" wait --until text:never h
    works run -d --rm --name r --kernel "$TINY" -m 32M
    wait_in_background --until never r
    works_silently kill r
    wait "$waiter"
    matches "what is said" "$(<err)" "machine r has ended before 'never' on its console"
}
try ends_before "wait --until: a machine that ends or halts before is an error"

times_out() {
    boot o
    refuses 124 "waited 1 s for 'never' on its console" wait --until never --timeout 1 o
    refuses 124 "waited 15 s for success of 'true': no guest agent answers" wait --until exec:true --timeout 15 o
    refuses 124 "machine o has not ended within 1 s" wait --timeout 1 o
    works_silently pause o
    refuses 124 "machine o is paused" wait --until exec:true --timeout 1 o
}
try times_out "wait --timeout: 124, and why it has not come true"

# A log that never ends: a guest may write as fast as it is read.
flooded() {
    boot f
    truncate -s 1T "$XDG_STATE_HOME/torpor/f/console.log"
    refuses 124 "waited 1 s for 'never'" wait --until never --timeout 1 f
}
try flooded "wait --until text --timeout: a console that never stops"

# This host takes the connection; nobody in the guest does.
port_without_an_answer() {
    boot p -p 127.0.0.1:0:80 -p 127.0.0.1:0:53/udp
    refuses 124 "waited 5 s for an answer at port 80" wait --until port:80 --timeout 5 p
    refuses 125 "TCP port 81 of p is not published" wait --until 81 p
    refuses 125 "TCP port 53 of p is not published" wait --until port:53 p
    boot q --net none
    refuses 125 "TCP port 80 of q is not published" wait --until port:80 q
}
try port_without_an_answer "wait --until port: that our own listener takes the connection is no answer"

wait_refused() {
    boot w
    refuses 125 "text:TEXT, port:N or exec:COMMAND" wait --until text: w
    refuses 125 "text:TEXT, port:N or exec:COMMAND" wait --until '' w
    refuses 125 "port:" wait --until port:http w
    refuses 125 "port:" wait --until 65536 w
    refuses 125 "longer than 1024 bytes" wait --until "$(printf '%01025d ' 1)" w
    refuses 125 "timeout" wait --timeout 0 w
    refuses 125 "NAME is missing" wait --until READY
}
try wait_refused "wait says what is wrong with its options"

says_so_on_a_terminal() {
    boot s
    python3 - "$TORPOR" <<'PYTHON' || fail "nothing is told"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["torpor", "wait", "--until", "never", "s"])
seen = b""
while b"torpor: wait: waiting for 'never' on its console" not in seen:
    seen += os.read(fd, 4096)
os.kill(pid, 9)
PYTHON
}
try says_so_on_a_terminal "wait --until on a terminal says what it waits for"
