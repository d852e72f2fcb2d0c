# A real redis-server in a guest, and the command that talks to it. Sourced by busybox sh as process 1.

# Everything redis knows is in memory: no dump, no log of writes, so only a saved machine keeps it.
redis_start()
{
	echo 1 >/proc/sys/vm/overcommit_memory
	redis-server /etc/redis.conf </dev/null >/run/redis.log 2>&1 &
	until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do
		usleep 50000
	done
}

redis_run_id()
{
	redis-cli info server | sed -n 's/^run_id:\([0-9a-f]*\).*/\1/p'
}

# redis ARGS…: what redis-cli says, as one line.
command_redis()
{
	echo "redis $(eval "redis-cli $1" 2>&1 </dev/null | tr -s '\r\n' ' ' | sed 's/ $//')"
}
