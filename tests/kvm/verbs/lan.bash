# Virtual LANs: their life, who may join, what is said of them; two of them joined.

life() {
    works lan ls --json
    same "no LAN" "$out" "[]"
    works lan create shop
    same "the name printed" "$out" shop
    works lan create --dhcp=10.9.8.7/24 --dns 10.9.8.200 depot
    works lan ls
    matches ls "$out" $'^NAME +PID +MACHINES +JOINED +DHCP\ndepot +[0-9]+ +0 +0 +10\.9\.8\.0/24\nshop +[0-9]+ +0 +0 +-$'
    works lan stats depot
    matches stats "$out" $'DHCP 10\.9\.8\.0/24, server 10\.9\.8\.1, names at 10\.9\.8\.200\n'
    works lan stats shop --json
    same "stats --json" "$(json "d['name'], d['ports'], d['dhcp'], d['qemu'].endswith('/torpor-lan/shop/qemu')" <<<"$out")" \
        "shop [] None True"
    works ps -aq
    same "machines" "$out" ""
    works_silently lan rm shop
    works_silently lan rm depot
    works lan ls --json
    same "no LAN any more" "$out" "[]"
    same "what is left" "$(find "$XDG_RUNTIME_DIR/torpor-lan" "$XDG_STATE_HOME/torpor-lan" -mindepth 1)" ""
}
try life "lan create, ls, stats, rm, and their --json"

errors() {
    refuses 125 "say create, ls, stats" lan
    refuses 125 "say create, ls, stats" lan make x
    refuses 125 "NAME is missing" lan create
    refuses 125 "is not a name" lan create a/b
    refuses 125 "lan create knows no --json" lan create --json x
    refuses 125 "unexpected operand" lan stats x y
    refuses 125 "is not a network" lan create --dhcp=10.0.0 x
    refuses 125 "/16 to /29" lan create --dhcp=10.0.0.0/8 x
    refuses 125 "--dns needs --dhcp" lan create --dns 10.0.0.1 x
    refuses 125 "no IPv4 address" lan create --dhcp --dns nobody x
    refuses 122 "there is no LAN x" lan stats x
    refuses 122 "there is no LAN x" lan rm x
    refuses 122 "there is no LAN x" lan serve x
    works lan create x
    refuses 125 "there is a LAN x already" lan create x
    refuses 125 "either --connect ADDRESS or -- COMMAND" lan join x
    refuses 125 "is no address" lan join x --connect 127.0.0.1:80
    refuses 125 "is no address" lan serve x --listen tcp:80
    refuses 122 "connect to nowhere" lan join x --connect unix:nowhere
    refuses 125 "false ended with status 1" lan join x -- false
    refuses 125 "x would be joined to itself" lan join x -- "$TORPOR" lan serve x
}
try errors "lan: what is refused, and how"

survives_kill() {
    works lan create x
    kill -9 "$("$TORPOR" lan ls --json | json "d[0]['pid']")"
    until_true sh -c "[ \"\$('$TORPOR' lan ls --json)\" = '[]' ]"
    works lan create x
    kill -9 "$("$TORPOR" lan ls --json | json "d[0]['pid']")"
    until_true sh -c "[ \"\$('$TORPOR' lan ls --json)\" = '[]' ]"
    works_silently lan rm x
    refuses 122 "there is no LAN x" lan rm x
}
try survives_kill "lan create and rm after a killed switch"

machines() {
    refuses 122 "there is no LAN shop: make it with torpor lan create shop" \
        run -d --name web --kernel "$TINY" -m 64M --net lan=shop
    works lan create shop
    boot web --net lan=shop
    boot db --net lan=shop
    works lan stats shop --json
    same "ports" "$(json "sorted((p['kind'], p['name'], len(p['macs'])) for p in d['ports'])" <<<"$out")" \
        "[('machine', 'db', 1), ('machine', 'web', 1)]"
    refuses 125 "shop has 2 on it" lan rm shop
    works save -R web -o web.torpor
    refuses 125 "web-2 has the MAC 02:.* of web, which is there already; resume it with --new-identity" \
        resume -d web.torpor --net lan=shop
    works_silently kill web
    works resume -d --name web-2 web.torpor --net lan=shop
    works_silently lan rm --force shop
    works ps -q
    same "machines go on" "$out" $'db\nweb-2'
    works lan create shop
    until_true joined shop 2
}

joined() { # LAN COUNT
    [ "$("$TORPOR" lan stats --json "$1" | json "len(d['ports'])")" = "$2" ]
}
try machines "--net lan=NAME: join, MAC clash, rm --force, and the LAN comes back"

joins() {
    works lan create a
    works lan create b
    "$TORPOR" lan join a -- "$TORPOR" lan serve b >joined 2>err &
    client=$!
    until_true grep -q '^joined$' joined
    joined a 1 || fail "a knows nothing of it"
    joined b 1 || fail "b knows nothing of it"
    refuses 125 "is joined to . already" lan join b -- "$TORPOR" lan serve a
    works lan create c
    works_silently lan rm --force b
    wait "$client"
    same "status of join" "$?" 125
    matches "what it said" "$(<err)" 'they were joined, and are no longer'
}
try joins "lan join -- COMMAND, lan serve: joined, twice, parted"

joins_late() {
    works lan create a
    works lan create b
    # shellcheck disable=SC2016
    "$TORPOR" lan join a -- sh -c 'sleep 11; exec "$0" lan serve b' "$TORPOR" >joined 2>err &
    client=$!
    sleep 11
    until_true grep -q '^joined$' joined
    works_silently lan rm --force b
    wait "$client"
    same "status of join" "$?" 125
}
try joins_late "lan join waits for a command that asks for a password, say, longer than for a greeting"

joins_by_address() {
    local address
    works lan create a
    works lan create b
    for address in unix:meet tcp:127.0.0.1:0; do
        "$TORPOR" lan serve b --listen $address >served 2>err &
        server=$!
        until_true test -s served
        "$TORPOR" lan join a --connect "$(<served)" >joined 2>err2 &
        client=$!
        until_true grep -q '^joined$' joined
        kill $client
        wait $client 2>/dev/null
        until_true joined a 0
        kill $server
        wait $server 2>/dev/null
        rm -f meet served joined
    done
    "$TORPOR" lan serve b --listen unix:meet >served &
    server=$!
    until_true test -s served
    works_silently lan rm b
    wait "$server"
    same "status of serve" "$?" 0
}
try joins_by_address "lan serve --listen, lan join --connect: Unix and TCP"

deaf_switch() {
    local pid
    works lan create shop
    works lan create other
    boot m --net lan=shop
    pid=$("$TORPOR" lan ls --json | json "[l['pid'] for l in d if l['name'] == 'shop'][0]")
    kill -STOP "$pid"
    refuses 125 "LAN shop does not answer \(process $pid has state T .*\); torpor lan rm --force shop ends it" lan stats shop
    refuses 125 "LAN shop does not answer \(process $pid has state T .*\); torpor lan rm --force shop ends it" lan rm shop
    works lan ls
    matches "lan ls" "$out" $'\nother +[0-9]+ +0 .*\nshop +'"$pid"' +not-answering$'
    call run -d -n late --kernel "$TINY" -m 64M --net lan=shop
    same "status of run" "$status" 0
    one_line "LAN shop: its switch does not answer: the link is down until it does" || fail "$(report_call run)"
    grep -q "LAN shop: its switch does not answer" "$XDG_STATE_HOME/torpor/late/torpor.log" || fail "no line in the log"
    works inspect late
    matches "late" "$out" 'net0 +lan shop, link down'
    kill -CONT "$pid"
    until_true joined shop 2
    until_true grep -q "LAN shop is joined" "$XDG_STATE_HOME/torpor/late/torpor.log"
}
try deaf_switch "a switch that is stopped: stats, ls and rm say so, and a machine starts with its link down until it answers"

deaf_join() {
    local pid client
    works lan create a
    works lan create b
    pid=$("$TORPOR" lan ls --json | json "[l['pid'] for l in d if l['name'] == 'a'][0]")
    kill -STOP "$pid"
    "$TORPOR" lan join a -- "$TORPOR" lan serve b >joined 2>err &
    client=$!
    until_true grep -q "^torpor: lan: waiting for the switches of the two LANs to agree$" err
    [ ! -s joined ] || fail "$(<joined)"
    kill -CONT "$pid"
    until_true grep -q '^joined$' joined
    works_silently lan rm --force b
    wait "$client"
    same "status of join" "$?" 125
}
try deaf_join "lan join says that it waits while a switch does not answer, and joins when it does"

no_descriptors() {
    works lan create a
    (
        ulimit -n 5
        exec "$TORPOR" lan serve a
    ) </dev/null >served 2>"$SCRATCH/err"
    same "status of serve" "$?" 125
    one_line "Too many open files" || fail "$(<"$SCRATCH/err")"
}
try no_descriptors "lan serve that gets no descriptors says that, and not that there is no memory"

# Machines that come and go, with long names; each leaves two lines.
logs_little() {
    local log name=shop-$(printf 'x%.0s' {1..55})
    works lan create "$name"
    log=$XDG_STATE_HOME/torpor-lan/$name.log
    # An address holds 107 bytes.
    python3 - "$XDG_RUNTIME_DIR/torpor-lan/$name" <<'PYTHON' || fail "a machine was refused"
import os, socket, sys

os.chdir(sys.argv[1])
for i in range(5000):
    s = socket.socket(socket.AF_UNIX)
    s.connect("port")
    s.sendall(b"torpor-lan 1 port 02:00:00:00:%02x:%02x m%04d-%s\n" % (i >> 8, i & 255, i, b"y" * 55))
    assert s.recv(100) == b"ok\n"
    s.close()
PYTHON
    until_true grep -q "m4999-y*.* has left" "$log"
    [ "$(stat -c %s "$log")" -le 1048576 ] || fail "$(stat -c %s "$log") bytes"
    grep -q "m0000-y" "$log" && fail "it has all of it: nothing was cut"
    same "files" "$(ls "$XDG_STATE_HOME/torpor-lan")" "$name.log"
}
try logs_little "the log of a LAN never grows beyond 1 MiB"
