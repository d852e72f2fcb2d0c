# A guest's vsock: --vsock PATH. Operations of packets: 1 request, 2 response, 3 reset, 4 shutdown, 5 data.

# A client of the host in the background, $client: it asks for a port, writes TEXT once it is connected, and says all
# that it gets, in FILE.
start_client() { # FILE PATH PORT TEXT
    python3 - "$@" <<'PYTHON' &
import socket, sys

name, path, port, text = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.sendall(f"CONNECT {port}\n".encode())
with open(name, "wb", buffering=0) as out:
    while got := s.recv(4096):
        out.write(got)
        if got.startswith(b"OK "):
            s.sendall(text.encode())
    out.write(b"end\n")
PYTHON
    client=$!
}

# The port that the host has given a client: $host. The guest is asked for 52.
guest_accepts() { # MACHINE FILE
    local heard
    heard=$(say "$1" vhear)
    matches "what the guest hears" "$heard" "^vhear 1 52 [0-9]+\$"
    host=${heard##* }
    answers "$1" "vsay 2 52 $host" "vsay ok"
    until_true grep -q "^OK $host\$" "$2"
}

to_the_guest() {
    boot web --vsock "$PWD/s"
    same "who may connect" "$(stat -c %a s)" 600
    answers web vsock "vsock 3"
    start_client got "$PWD/s" 52 hello
    guest_accepts web got
    answers web vhear "vhear 5 52 $host hello"
    answers web "vsay 5 52 $host answer" "vsay ok"
    until_true grep -q answer got
    answers web "vsay 4 52 $host" "vsay ok"
    answers web vhear "vhear 3 52 $host"
    wait "$client"
    same "all that the client got" "$(tail -n 1 got)" "answerend"
    # Nobody accepts.
    start_client got "$PWD/s" 53 hello
    host=$(say web vhear)
    answers web "vsay 3 53 ${host##* }" "vsay ok"
    wait "$client"
    same "what it got" "$(<got)" end
    works inspect web --json
    same "inspect" "$(json "d['vsock']" <<<"$out")" "{'cid': 3, 'path': '$PWD/s'}"
    works inspect web
    matches "inspect, as text" "$out" "vsock0 +$PWD/s, CID 3"
    works_silently kill web
    until_true [ ! -e s ]
}
try to_the_guest "--vsock PATH: a client reaches the guest, and PATH goes with the machine"

from_the_guest() {
    boot web --vsock s
    python3 - "$PWD/s_80" <<'PYTHON' &
import socket, sys

s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
c, _ = s.accept()
c.sendall(b"you said " + c.recv(100))
c.recv(1)
PYTHON
    until_true [ -S s_80 ]
    until_true grep -q "$PWD/s_80" /proc/net/unix
    answers web "vsay 1 1000 80" "vsay ok"
    answers web vhear "vhear 2 1000 80"
    answers web "vsay 5 1000 80 question" "vsay ok"
    answers web vhear "vhear 5 1000 80 you said question"
    answers web "vsay 4 1000 80" "vsay ok"
    answers web vhear "vhear 3 1000 80"
    wait $!
    # Nobody listens.
    answers web "vsay 1 1000 80" "vsay ok"
    answers web vhear "vhear 3 1000 80"
    answers web "vsay 1 1000 81" "vsay ok"
    answers web vhear "vhear 3 1000 81"
    works_silently kill web
}
try from_the_guest "--vsock PATH: the guest reaches PATH_PORT, where somebody listens"

wakes() {
    boot web --vsock "$PWD/s"
    start_client got "$PWD/s" 52 hello
    guest_accepts web got
    answers web vhear "vhear 5 52 $host hello"
    # One that goes on keeps its connections; the file has none.
    works save web -R -o web.torpor
    answers web "vsay 5 52 $host still" "vsay ok"
    until_true grep -q still got
    answers web vevent "vevent none"
    works save web -o last.torpor
    wait "$client"
    same "its end" "$(tail -n 1 got)" stillend
    until_true [ ! -e s ]
    for file in web.torpor last.torpor; do
        works resume "$file" -d -n web --vsock "$PWD/s"
        start_client again "$PWD/s" 52 hello
        answers web vevent "vevent 0"
        guest_accepts web again
        answers web vhear "vhear 5 52 $host hello"
        works_silently kill web
        wait "$client"
    done
    # With nobody behind it.
    call resume last.torpor -d -n web
    [ "$status" = 0 ] && one_line "has a vsock, which is not connected: it needs a --vsock PATH" || fail "$(report_call resume)"
    answers web "vsay 1 1000 80" "vsay ok"
    answers web vhear "vhear 3 1000 80"
    works_silently kill web
    matches inspect "$("$TORPOR" inspect last.torpor)" "vsock +the guest is CID 3"
    refuses 125 "2 machines cannot share a socket" clone -c 2 last.torpor --vsock s
}
try wakes "save and resume: the guest is told that its connections are gone, and has new ones"

taken_back() {
    boot web --vsock "$PWD/s"
    works save web -o web.torpor
    works resume web.torpor -d -n web --golden --vsock "$PWD/s"
    answers web vevent "vevent 0"
    start_client got "$PWD/s" 52 hello
    guest_accepts web got
    works reset web
    wait "$client"
    answers web vevent "vevent 0"
    start_client again "$PWD/s" 52 hello
    guest_accepts web again
    works_silently kill web
    wait "$client"
}
try taken_back "reset: connections are gone with what they were made in"

refused() {
    boot plain
    works save plain -o plain.torpor
    refuses 125 "has no vsock" resume plain.torpor -d --vsock s
    [ ! -e s ] || fail "s was left"
    echo precious >file
    refuses 125 "something that is no socket" run --kernel "$TINY" --vsock file
    same "the file" "$(<file)" precious
    boot web --vsock s
    refuses 125 "another process listens there" run --kernel "$TINY" --vsock s
    refuses 122 "its folder" run --kernel "$TINY" --vsock nowhere/s
    # However it ends.
    kill -9 "$(<"$XDG_RUNTIME_DIR/torpor/web/pid")"
    until_true [ ! -e s ]
}
try refused "what is at PATH is not replaced, and PATH goes with a machine that is killed"

moves() {
    other_host
    boot web --vsock "$PWD/s"
    start_client got "$PWD/s" 52 hello
    guest_accepts web got
    answers web vhear "vhear 5 52 $host hello"
    # It goes on here, and so do its connections.
    refuses 125 "it broke" move web -- $PEER target go-failed
    answers web "vsay 5 52 $host still" "vsay ok"
    until_true grep -q still got
    works_loudly move web -- ./far receive --vsock "$PWD/t"
    wait "$client"
    same "its end" "$(tail -n 1 got)" stillend
    until_true [ ! -e s ]
    start_client again "$PWD/t" 52 hello
    there answers web vevent "vevent 0"
    there guest_accepts web again
    there answers web vhear "vhear 5 52 $host hello"
    same "inspect there" "$(./far inspect web --json | json "d['vsock']['path']")" "$PWD/t"
    there works_silently kill web
    wait "$client"
    until_true [ ! -e t ]
    # What cannot be bound is refused, and the machine goes on here.
    boot plain
    refuses 125 "other host refused it: .*has no vsock" move plain -- ./far receive --vsock "$PWD/t"
    same "state" "$(state_of plain)" running
    until_true [ ! -e t ]
}
try moves "move and receive --vsock: connections go on where the machine does, and end when it has moved"
