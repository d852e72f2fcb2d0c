# logs and console: what the guest printed, and typing at it, over pipes and on a terminal.

logs() {
    boot l
    answers l "ping one" "pong one"
    works logs l
    matches logs "${out//$'\r'/}" $'^READY nonce=[0-9a-f]{16}\npong one$'
    works_silently kill l
    works logs l
    matches "logs afterwards" "${out//$'\r'/}" 'pong one$'
    works logs --host l
    refuses 122 "nobody" logs nobody
}
try logs "logs and logs --host, before and after the end"

follow() {
    boot f
    timeout "$PATIENCE" "$TORPOR" logs -f f >followed &
    local client=$!
    until_true grep -q READY followed
    answers f "ping late" "pong late"
    until_true grep -q "pong late" followed
    answers f poweroff poweroff
    wait "$client"
    same "status of logs -f" "$?" 0
    same "its last line" "$(tail -n 1 followed | tr -d '\r')" poweroff
    works logs --follow f
    same "all of it afterwards" "$out" "$(<followed)"
}
try follow "logs -f goes on until the machine is over"

console_pipe() {
    boot c
    (
        printf 'ping 1\nping 2\n'
        until_true grep -q 'pong 2' "$SCRATCH/out"
        printf 'ping ~.\n~.\npoweroff\n'
    ) | timeout "$PATIENCE" "$TORPOR" console c >"$SCRATCH/out" 2>"$SCRATCH/err"
    same status "$?" 0
    same "standard error" "$(<"$SCRATCH/err")" ""
    matches output "$(tr -d '\r' <"$SCRATCH/out" | tr '\n' ' ')" '^pong 1 pong 2 pong ~\. error .*poweroff $'
    call wait c
    refuses 122 "c" console c
}
try console_pipe "console over pipes: no escapes, the output goes on behind the end of the input, 0 at the machine's end"

console_two() {
    boot two
    timeout "$PATIENCE" "$TORPOR" console two </dev/null >listener &
    heard_by_both() {
        answers two "ping both" "pong both"
        grep -q "pong both" listener
    }
    until_true heard_by_both
    works_silently kill two
    wait
}
try console_two "two consoles at one machine both see its output"

# `script` gives the program a terminal.
on_terminal() { # ARGUMENT…
    local words
    printf -v words '%q ' "$TORPOR" "$@"
    timeout "$PATIENCE" script -qec "$words" /dev/null <&"$keys" >screen &
    client=$!
}

console_escape() {
    boot t
    open_keys
    on_terminal console t
    # What is typed before the terminal is set up is lost.
    is_echoed() {
        printf 'ping ~.x\n' >&"$keys"
        grep -q 'pong ~.x' screen
    }
    until_true is_echoed
    printf '\n~.' >&"$keys"
    wait "$client"
    same "status of the console" "$?" 0
    same state "$(state_of t)" running
}
try console_escape "console on a terminal: ~. at the beginning of a line leaves, elsewhere it is typed"

console_break() {
    boot t
    open_keys
    on_terminal console t
    is_echoed() {
        printf 'ping ~B\n' >&"$keys"
        grep -q 'pong ~B' screen
    }
    until_true is_echoed
    printf '\n~Bping behind\n' >&"$keys"
    until_true grep -q '^break' screen
    until_true grep -q 'pong behind' screen
    printf '\n~.' >&"$keys"
    wait "$client"
    same "status of the console" "$?" 0
}
try console_break "console on a terminal: ~B at the beginning of a line sends a break to the serial port"

console_ended() {
    boot t
    python3 - "$TORPOR" <<'PYTHON' || fail "see above"
import os, pty, signal, sys, termios

for number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for fd in range(3):
            os.dup2(slave, fd)
        signal.signal(number, signal.SIG_DFL)
        os.execv(sys.argv[1], [sys.argv[1], "console", "t"])
    said = b""
    while b"Escape: ~. leaves, ~? shows all" not in said:
        said += os.read(master, 1000)
    if termios.tcgetattr(slave) == before:
        sys.exit("the terminal is not raw")
    os.write(master, b"~?")
    while b"~B  sends a break" not in said:
        said += os.read(master, 1000)
    os.kill(pid, number)
    status = os.waitpid(pid, 0)[1]
    if os.WTERMSIG(status) != number:
        sys.exit(f"signal {number}: status {status}")
    if termios.tcgetattr(slave) != before:
        sys.exit(f"signal {number}: the terminal is not restored")
    os.close(master)
    os.close(slave)
PYTHON
    same state "$(state_of t)" running
}
try console_ended "a console that a signal ends leaves the terminal as it was; its banner and ~? name the escapes"

run_escape() {
    open_keys
    on_terminal run --name e --kernel "$TINY"
    until_true grep -q READY screen
    printf '\n~.' >&"$keys"
    wait "$client"
    same "status of run" "$?" 137
    call wait e
    same "wait" "$status $(<"$SCRATCH/out")" "137 killed"
}
try run_escape "run on a terminal: ~. ends the machine"

much_output() {
    boot m
    flooded() {
        [ "$(tr -cd . <dots | wc -c)" -gt 10000 ]
    }
    ended() {
        tr '\r' '\n' <dots | grep -q 'bench [0-9]'
    }
    timeout "$PATIENCE" "$TORPOR" console m >dots < <(
        echo bench
        until_true flooded
        echo stop
        until_true ended
        echo poweroff
    )
    same "status of console" "$?" 0
    tr -d '\r\n' <dots | grep -Eq '\.{1000,}' || fail "only $(tr -cd . <dots | wc -c) dots"
    ended || fail "the end was lost"
    works logs m
    same "dots in the log" "$(tr -cd . <<<"$out" | wc -c)" "$(tr -cd . <dots | wc -c)"
}
try much_output "a flood of output reaches console and log whole"
