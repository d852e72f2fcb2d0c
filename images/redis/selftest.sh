#!/bin/bash
# Boot the redis guest under QEMU and go through its protocol.

. "$(dirname "$(realpath "$0")")/../common/selftest.sh"

dir=$images/../build/images/redis
"$images/redis/build"

check_redis()
{
	check "has loaded its keys" grep -Eq 'keys=50000 redis=[0-9a-f]{40}$' <<<"$ready"
	check "knows the first key" vm_ask "redis GET key:0" '^redis value:0$'
	check "knows the last key" vm_ask "redis GET key:49999" '^redis value:49999$'
	check "keeps what it is told" vm_ask 'redis SET greeting "hello world"' '^redis OK$'
	check "and tells it again" vm_ask "redis GET greeting" '^redis hello world$'
	check "its ticks go on" grows "redis GET ticks"
	check "many lines come as one" vm_ask "redis INFO server" '^redis # Server .*run_id:'
}

vm_start "$dir" ttyS0 256 2 "${with_network[@]}" "${with_agent[@]}"
check "boots" vm_ready 90
ready=$reply
check_redis
check_network
check_protocol
check_endings

vm_start "$dir" hvc0 128 1 -no-reboot
check "boots in 128 MiB, talking over hvc0, with no card and no agent" vm_ready 90
check "answers there" vm_ask "redis DBSIZE" '^redis 5000[0-9]$'
vm_send poweroff
check "powers off on command" vm_gone 20
check "and leaves the disk clean" disk_is_clean

selftest_end
