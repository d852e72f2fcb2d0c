# Who is asked, and who is believed: folders and sockets of others, machines whose folder has gone.

squatted() {
    local name
    become_foreign() {
        chown -R 61234 "$XDG_RUNTIME_DIR/torpor" "$XDG_RUNTIME_DIR/torpor-lan"
    }
    [ "$(id -u)" = 0 ] || skip "needs root, to be somebody else"
    boot web
    works lan create shop
    become_foreign
    for name in "ps" "save web" "kill web" "console web" "lan ls" "lan stats shop" "run -d --name x --kernel $TINY"; do
        # shellcheck disable=SC2086
        refuses 125 "must be a folder of yours" $name
    done
    chown -R 0 "$XDG_RUNTIME_DIR/torpor" "$XDG_RUNTIME_DIR/torpor-lan"
    chmod 755 "$XDG_RUNTIME_DIR/torpor"
    refuses 125 "must be a folder of yours" save web
    chmod 700 "$XDG_RUNTIME_DIR/torpor"
    works ps -q
    same "ps" "$out" web
    works_silently lan rm shop
}
try squatted "a runtime folder that is another user's, or open to others, is not believed"

# A name that is held here, whose socket belongs to somebody else.
foreign_peer() {
    local pid
    [ "$(id -u)" = 0 ] || skip "needs root, to be somebody else"
    boot web
    works lan create shop
    mkdir open
    # The sockets of another user, which are put in place of ours.
    python3 -c '
import os, socket, time
sockets = [socket.socket(socket.AF_UNIX) for name in range(3)]
for name, s in zip(("control", "port", "trunk"), sockets):
    s.bind("open/" + name)
    os.seteuid(61234)
    s.listen(9)
    os.seteuid(0)
open("open/ready", "w").close()
time.sleep(1000)' &
    pid=$!
    until_true test -e open/ready
    mv -f open/control "$XDG_RUNTIME_DIR/torpor/web/control"
    mv -f open/port open/trunk "$XDG_RUNTIME_DIR/torpor-lan/shop/"
    refuses 125 "another user's" save web
    refuses 125 "another user's" console web
    refuses 125 "Operation not permitted" run -d --name x --kernel "$TINY" -m 64M --net lan=shop
    refuses 125 "Operation not permitted" lan join shop -- echo
    kill "$pid"
}
try foreign_peer "a socket whose process is another user's gets no request and no card"

other_runtime() {
    local here=$XDG_RUNTIME_DIR
    boot web
    nonce=$(say web nonce)
    mkdir "$HOME/elsewhere"
    export XDG_RUNTIME_DIR=$HOME/elsewhere
    works ps --json
    same "state" "$(json "[(m['name'], m['state']) for m in d]" <<<"$out")" "[('web', 'running')]"
    refuses 125 "in use by a running machine" run -d --name web --kernel "$TINY" -m 64M
    refuses 125 "is running" rm web
    answers web nonce "$nonce"
    works save web -o web.torpor
    works resume -d web.torpor
    answers web nonce "$nonce"
    XDG_RUNTIME_DIR=$here
    works_silently kill web
    works ps -q
    same "nothing runs" "$out" ""
}
try other_runtime "a machine that was started under another XDG_RUNTIME_DIR is running to all verbs"

vanished() {
    boot web
    nonce=$(say web nonce)
    rm -r "$XDG_RUNTIME_DIR/torpor"
    works ps -q
    same "ps" "$out" web
    answers web nonce "$nonce"
    works save -R web -o web.torpor
    works_silently kill web
    call wait web
    same "status of wait" "$status" 137
    works_silently rm web
    same "left" "$(find "$XDG_STATE_HOME/torpor" -mindepth 1)" ""
}
try vanished "a machine whose runtime folder has vanished is running to all verbs"

no_socket() {
    boot web
    kill -STOP "$(<"$XDG_RUNTIME_DIR/torpor/web/pid")"
    rm "$XDG_RUNTIME_DIR/torpor/web/control" "$XDG_STATE_HOME/torpor/web/socket"
    works_silently kill web
    works ps -q
    same "nothing runs" "$out" ""
    works lan create shop
    kill -STOP "$("$TORPOR" lan ls --json | json "d[0]['pid']")"
    works_silently lan rm --force shop
    works lan ls --json
    same "no LAN" "$out" "[]"
}
try no_socket "kill and lan rm --force end what does not listen, or not any more"

bytes() {
    local name=$'\xff\xfe'
    boot web
    call save web -o "$name/x.torpor"
    [ "$status" = 125 ] || [ "$status" = 122 ] || fail "$(report_call save)"
    one_line "" || fail "$(report_call save)"
    refuses 122 "\?\?/x.torpor" resume -d "$name/x.torpor"
    works_silently kill web
}
try bytes "names that are no UTF-8 in requests and errors: one line, no waiting"
