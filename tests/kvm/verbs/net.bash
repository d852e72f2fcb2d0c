# Network options from outside: what they refuse, where ports are published, what is in files.

# The ports of this host that a machine's are published on: $host_port.
published() { # NAME
    works port "$1" --json
    host_port=$(json 'd[0]["host"]' <<<"$out")
}

listens() { # ADDRESS PORT
    timeout "$PATIENCE" bash -c "exec 3<>'/dev/tcp/$1/$2'" 2>/dev/null
}

bad_options() {
    local bad
    for bad in 0 65536 :80 80: a:80 8080:0 8080:65536 65536:80 8080:80/sctp 1.2.3:8080:80 ::1:8080:80 \
        [::1:8080:80 '[1.2.3.4]:8080:80' 8080:80:80 '' -1:80 '8080: 80'; do
        refuses 125 "-p " run --kernel "$TINY" -p "$bad"
    done
    for bad in users u us use ta t la l no non tap= lan lan= lan=a/b none=x user=x '' wifi; do
        refuses 125 "--net" run --kernel "$TINY" --net "$bad"
    done
    for bad in 02:00:00:00:00 03:00:00:00:00:01 00:00:00:00:00:00 02:00:00:00:00:0g x \
        02-00-00-00-00-01 02:00:00:00:00:01:02; do
        refuses 125 "--mac" run --kernel "$TINY" --mac "$bad"
    done
    refuses 125 "--mtu" run --kernel "$TINY" --mtu 1279
    refuses 125 "--mtu" run --kernel "$TINY" --mtu 65536
    refuses 125 "--queues" run --kernel "$TINY" --queues 0
    refuses 125 "--queues" run --kernel "$TINY" --queues 5
    refuses 125 "more than 4" run --kernel "$TINY" --net user --net user --net user --net user --net user
    refuses 125 "no card has that" run --kernel "$TINY" --net none -p 8080:80
    refuses 125 "no network card" run --kernel "$TINY" --net none --pcap x
    refuses 125 "there is none" run --kernel "$TINY" --net none --mac 02:00:00:00:00:01
}
try bad_options "bad -p, --net, --mac, --mtu, --queues: 125 and one line"

ports() {
    works run -d -n p --kernel "$TINY" -p 127.0.0.1:0:80 --publish 127.0.0.1:0:53/udp
    published p
    works port p
    matches port "$out" "^80/tcp -> 127\.0\.0\.1:$host_port"$'\n'"53/udp -> 127\.0\.0\.1:[0-9]+$"
    listens 127.0.0.1 "$host_port" || fail "nobody listens on $host_port"
    refuses 125 "port 127.0.0.1:$host_port/tcp is taken" run -n q --kernel "$TINY" \
        -p "127.0.0.1:$host_port:80"
    refuses 125 "port 127.0.0.1:$host_port/tcp is taken" run -d -n q --kernel "$TINY" \
        -p "127.0.0.1:$host_port:80"
    works_silently kill p
    refuses 122 "no machine named p" port p
    works run -d -n q --kernel "$TINY" -p "127.0.0.1:$host_port:80"
}
try ports "-p publishes, port tells where; a port that is taken is one line and 125, also with -d"

ports_of_a_save() {
    boot w -p 127.0.0.1:0:80
    published w
    works save w -o w.torpor
    listens 127.0.0.1 "$host_port" && fail "it is still published"
    works inspect --json w.torpor
    same "keys of the network" \
        "$(json 'sorted(d["appliance"]["network"][0])' <<<"$out")" "['mac', 'mtu', 'pairs']"
    grep -q "$host_port" w.torpor && fail "the file has the port"
    works resume -d -n one w.torpor -p 127.0.0.1:0:80
    works resume -d -n two w.torpor -p 127.0.0.1:0:80 -p 127.0.0.1:0:81
    works port two --json
    same "ports of two" "$(json 'len(d)' <<<"$out")" 2
    works resume -d -n three w.torpor
    works port three
    same "ports of three" "$out" ""
    works inspect --json one
    same "what it is connected to" "$(json 'd["network"][0]["kind"], d["network"][0]["link"]' <<<"$out")" "user True"
    works stats one
    matches stats "$out" 'net0 +user.*sent +[0-9]+ frames.*received'
}
try ports_of_a_save "ports are not in the file: every resume publishes its own, side by side"

addresses() {
    works run -d -n a --kernel "$TINY"
    works run -d -n b --kernel "$TINY"
    works run -d -n c --kernel "$TINY" --mac 02:aa:bb:cc:dd:ee --mtu 9000 --queues 2 --net none --net none
    local mac_a mac_b
    mac_a=$("$TORPOR" inspect a --json | json 'd["network"][0]["mac"]')
    mac_b=$("$TORPOR" inspect b --json | json 'd["network"][0]["mac"]')
    matches "a's address" "$mac_a" '^02:[0-9a-f:]{14}$'
    [ "$mac_a" != "$mac_b" ] || fail "both have $mac_a"
    works inspect c
    matches c "$out" $'network     02:aa:bb:cc:dd:ee, MTU 9000, 2 pairs of queues\nnetwork     02:'
    matches c "$out" $'net0 +none, link down\nnet1 +none, link down'
    works save a -o a.torpor
    same "in the file" "$("$TORPOR" inspect a.torpor --json | json 'd["appliance"]["network"][0]["mac"]')" "$mac_a"
}
try addresses "each machine has an address of its own, and keeps it in the file"

cards() {
    for net in tap tap=tap0 lan=shop user,host-loopback nonesuch; do
        refuses 125 "'$net' is not user or none" build -o none.torpor --kernel "$TINY" --net user --net "$net"
    done
    works build -o none.torpor --kernel "$TINY" --net none
    works inspect none.torpor
    [[ $out != *network* ]] || fail "$out"
    works run -d -n none none.torpor
    works inspect none
    [[ $out != *net0* ]] || fail "$out"
    works build -o one.torpor --kernel "$TINY"
    works inspect one.torpor
    matches one "$out" 'network     any MAC, MTU 1500'
    works run -d -n two one.torpor --net user --net none
    works save two -o two.torpor
    refuses 125 "more of them than network cards \(2\)" resume two.torpor --net user --net none --net none
    call resume -d -n again two.torpor
    same status "$status" 0
    one_line "2 network cards, of which 1 are connected" || fail "$(report_call)"
    works_silently pause again
    refuses 125 "for files" resume again --net none
    works_silently resume again
    works run -d -n off one.torpor --net none
    works inspect off
    [[ $out != *net0* ]] || fail "$out"
}
try cards "as many cards as --net; resume connects the first, and no more than there are"

tap() {
    [ -c /dev/net/tun ] || skip "no /dev/net/tun"
    works run -d -n t --kernel "$TINY" --net tap --pcap t.pcap
    works inspect t
    matches inspect "$out" 'net0 +tap torpor[0-9]+'
    local name=${out##*net0}
    name=$(grep -o 'torpor[0-9]*$' <<<"${name%%$'\n'*}")
    refuses 125 "$name: it is in use" run --kernel "$TINY" --net "tap=$name"
    refuses 125 "lo: it is not a tap" run --kernel "$TINY" --net tap=lo
    refuses 125 "at most 15" run --kernel "$TINY" --net tap=0123456789abcdef
    works_silently kill t
    same "the capture's beginning" "$(od -An -tx4 -N4 t.pcap | tr -d ' ')" a1b23c4d
    [ -e "/sys/class/net/$name" ] && fail "$name is still there"
    works_silently rm t
}
try tap "--net tap makes an interface that goes with the machine; busy and foreign ones are named"

tap_deleted() {
    [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && command -v ip >/dev/null || skip "needs root, /dev/net/tun and ip"
    local name
    boot t --net tap
    name=$("$TORPOR" inspect t --json | json 'd["network"][0]["name"]')
    ip link del "$name" || skip "ip cannot delete $name"
    until_true grep -q "^t: --net tap=$name: the interface is gone" "$XDG_STATE_HOME/torpor/t/torpor.log"
    works inspect t
    matches inspect "$out" "net0 +tap $name, link down"
    answers t "ping on" "pong on"
    same "lines of it" "$(grep -c "is gone" "$XDG_STATE_HOME/torpor/t/torpor.log")" 1
}
try tap_deleted "a tap that is deleted while the machine runs: a line in its log, and the machine goes on"

loopback_v6() {
    grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null || skip "this host has no ::1"
    local ways
    for ways in "-p 0:80" "-p 127.0.0.1:0:80"; do
        # shellcheck disable=SC2086
        works run -d -n six --kernel "$TINY" -m 32M $ways
        published six
        listens 127.0.0.1 "$host_port" || fail "$ways: nobody listens on 127.0.0.1"
        listens ::1 "$host_port" || fail "$ways: nobody listens on ::1"
        works_silently kill six
        listens ::1 "$host_port" && fail "$ways: somebody listens on ::1 behind the end"
    done
    works run -d -n four --kernel "$TINY" -m 32M -p 127.0.0.2:0:80
    published four
    listens ::1 "$host_port" && fail "127.0.0.2 is listened on alone, but so is ::1"
    works_silently kill four
}
try loopback_v6 "-p listens on ::1 beside 127.0.0.1, and beside no other address"

tap_without_rights() {
    [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] || skip "needs root and /dev/net/tun"
    local drop=(setpriv --bounding-set=-net_admin --inh-caps=-net_admin --no-new-privs)
    "${drop[@]}" "$TORPOR" run --kernel "$TINY" --net tap >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
    same status "$?" 125
    one_line "CAP_NET_ADMIN" || fail "$(report_call)"
    "${drop[@]}" "$TORPOR" run --kernel "$TINY" --net tap=mine >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
    same status "$?" 125
    one_line "ip tuntap add dev mine mode tap user" || fail "$(report_call)"
}
try tap_without_rights "without CAP_NET_ADMIN the error says what is missing"

# Of --net user's gateway: by libslirp, 52:55 and its address.
gateway=52:55:0a:00:02:02

# What somebody else finds in a capture: a line a frame, of the fields named.
captured() { # FILE FILTER FIELD…
    command -v tshark >/dev/null || skip "no tshark"
    local file=$1 filter=$2 fields=()
    shift 2
    for field in "$@"; do
        fields+=(-e "$field")
    done
    tshark -n -r "$file" -Y "$filter" -T fields -E separator=/s "${fields[@]}" 2>tshark.err ||
        fail "tshark does not read $file: $(<tshark.err)"
}

capture() {
    refuses 122 "nowhere/x.pcap" run --kernel "$TINY" --pcap nowhere/x.pcap
    boot c --net user --net user --pcap c.pcap
    [ -s c.pcap ] && [ -s c.pcap.1 ] || fail "$(ls)"
    answers c "arp 10.0.2.2" "arp $gateway"
    same "ARP in it" "$(captured c.pcap arp arp.opcode arp.src.proto_ipv4 arp.dst.proto_ipv4)" \
        $'1 10.0.2.15 10.0.2.2\n2 10.0.2.2 10.0.2.15'
    same "frames of the other card" "$(captured c.pcap.1 "not icmpv6" frame.number)" ""
}
try capture "--pcap writes a file a card, and tshark reads in it what passed"

frames_pass() {
    boot f --net user
    same "its address" "$(say f net)" "net $("$TORPOR" inspect f --json | json 'd["network"][0]["mac"]')"
    answers f "arp 10.0.2.2" "arp $gateway"
    works save f -o f.torpor
    works resume -d -n f f.torpor --net user
    answers f "arp 10.0.2.2" "arp $gateway"
    works stats f --json
    same "frames since then" \
        "$(json 'all(d["network"][0][way]["frames"] > 0 for way in ("sent", "received"))' <<<"$out")" True
}
try frames_pass "--net user answers a guest's frames, before and after a save"

# Time only shows that nothing is faster than the limit allows.
limited() {
    local begin
    boot h --net user --net-pps 10
    begin=$EPOCHREALTIME
    for _ in {1..8}; do
        answers h "arp 10.0.2.2" "arp $gateway"
    done
    python3 -c "import sys; sys.exit($EPOCHREALTIME - $begin < 0.5)" || fail "8 frames, with 10 a second, in less than 0.5 s"
    works save h -o h.torpor
    works resume -d h.torpor --net user --net-bps 1M
    answers h "arp 10.0.2.2" "arp $gateway"
    works_silently kill h
    refuses 125 "run: --net-pps: 0 is" run --kernel "$TINY" --net user --net-pps 0
    refuses 125 "at most 9G" run --kernel "$TINY" --net user --net-bps 100G
    refuses 125 "for a network card" run --kernel "$TINY" --net none --net-bps 1M
}
try limited "--net-pps, --net-bps: no card is faster than its limit"

frames_in_hand() {
    boot h --net user
    answers h "arpask 10.0.2.2 5" "arpask 5"
    works save h -o h.torpor
    works resume -d -n one h.torpor --net user
    works resume -d -n two h.torpor --net user
    answers one "arphear 10.0.2.2 5" "arphear 5"
    answers two "arphear 10.0.2.2 5" "arphear 5"
    answers two "arp 10.0.2.2" "arp $gateway"
}
try frames_in_hand "frames for which a guest had no buffers are in the file"
