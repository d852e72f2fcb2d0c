#!/bin/bash
# Boot the web guest under QEMU, visit its servers from outside, and go through its protocol.

. "$(dirname "$(realpath "$0")")/../common/selftest.sh"

dir=$images/../build/images/web
"$images/web/build"

# free_ports N: TCP ports of this host that nobody has now.
free_ports()
{
	python3 - "$1" <<-'END'
		import socket, sys
		held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
		print(*(s.getsockname()[1] for s in held))
	END
}

get()
{
	curl -sS --max-time 20 --cacert "$dir/ca.pem" "$@"
}

serves_big()
{
	cmp <(get "http://127.0.0.1:$http/big") <(seq 1000000 1524287)
}

count_has_passed()
{
	[ "$(get "https://localhost:$https/count")" -gt "$1" ]
}

answers_redis()
{
	[ "$(redis-cli -p "$redis" "$@")" = OK ]
}

check_servers()
{
	check "http from outside" [ "$(get "http://127.0.0.1:$http/")" = awake ]
	check "https from outside" [ "$(get "https://localhost:$https/")" = awake ]
	check "the counter counts there too" \
		until_true count_has_passed "$(get "http://127.0.0.1:$http/count")"
	check "a big file arrives whole" serves_big
	check "redis from outside" answers_redis set visitor yes
	check "it knows inside" vm_ask "redis get visitor" '^redis yes$'
	check "curl inside" vm_ask "http http://localhost/" '^http 200 6 awake$'
	check "curl inside trusts its own authority" vm_ask "http https://localhost/" '^http 200 6 awake$'
	check "and no other name" vm_ask "http https://127.0.0.2/" '^error http: curl: \(60\)'
	check "iperf3 inside" vm_ask "iperf 127.0.0.1 -t 1" '^iperf [0-9]+ [0-9]+$'
	check "iperf3 tells what is wrong" vm_ask "iperf 127.0.0.1 -p 1" '^error iperf: '
}

read -r http https redis < <(free_ports 3)
with_network[1]+=",hostfwd=tcp:127.0.0.1:$http-:80,hostfwd=tcp:127.0.0.1:$https-:443"
with_network[1]+=",hostfwd=tcp:127.0.0.1:$redis-:6379"

vm_start "$dir" ttyS0 256 2 "${with_network[@]}" "${with_agent[@]}"
check "boots" vm_ready 120
check "has an address" until_true vm_ask net '^net 10\.0\.2\.15 '
check_servers
check_network
check_protocol
check_endings

vm_start "$dir" hvc0 128 1 -no-reboot
check "boots in 160 MiB, talking over hvc0, with no card and no agent" vm_ready 120
check "answers there" vm_ask "redis ping" '^redis PONG$'
vm_send poweroff
check "powers off on command" vm_gone 20
check "and leaves the disk clean" disk_is_clean

selftest_end
