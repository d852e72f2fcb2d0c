"""A scenario on one host: a database on a disk that is written through, whose machine is killed."""

import json
import random
import re
import sys

import guest as lab
import suite
from shop import REDIS
from suite import note, ok

PORT = 6380
SERVER = (f"redis-server --port {PORT} --dir /run/data --appendonly yes --appendfsync always --save '' "
          "--aof-load-truncated yes --daemonize yes >/dev/null")
# One key after the other; a number is said once redis has answered, and it answers once it is flushed.
WORK = (f"n=$(redis-cli -p {PORT} dbsize); while :; do n=$((n + 1)); "
        f'[ "$(redis-cli -p {PORT} set key:$n $n)" = OK ] && echo "kept $n" >/dev/console; done >/dev/null 2>&1 &')
LOST = ("local lost = 0 for i = 1, tonumber(ARGV[1]) do if redis.call('get', 'key:' .. i) ~= tostring(i) "
        "then lost = lost + 1 end end return lost")


def power_cut(host):
    """ext4 and redis with its log, twice: what redis said was written is there, and both find nothing wrong."""
    disk = host.path("data.raw")
    host.run("truncate", "-s", "96M", disk)
    host.run("mke2fs", "-q", "-t", "ext4", disk)
    kept = 0
    for cut in 1, 2:
        guest = open_shop(host, disk)
        guest.console.write("sh " + WORK)
        for _ in range(random.randrange(3, 25)):
            if guest.hear("^kept ") is None:
                guest.fail("it writes nothing")
        kept = max(kept, kill_and_count(host, guest))
        check_disk(host, disk, cut)
        guest = open_shop(host, disk)
        aof = tell(guest, "/run/redis-check-aof /run/data/appendonlydir/*.manifest 2>&1 | tail -n 1")
        ok(f"cut {cut}: redis-check-aof", aof == "All AOF files and manifest are valid", aof)
        lost = tell(guest, f'redis-cli -p {PORT} eval "{LOST}" 0 {kept}')
        note(f"cut {cut}: {kept} keys were acknowledged")
        ok(f"cut {cut}: no acknowledged key is lost", lost == "0", lost)
        guest.kill()
    host.run("rm", disk)


def tell(guest, command):
    """What a command in the guest prints: one line."""
    guest.console.write(f"sh echo GOT $({command})")
    line = guest.hear("^GOT")
    if line is None:
        guest.fail(f"no answer to {command}")
    return line[4:]


def open_shop(host, disk):
    """Redis cuts off what it had not acknowledged when it begins; so it is looked at behind that."""
    guest = lab.Guest.boot(host, "till", *REDIS, "--disk", f"{disk},rw,id=data")
    for command in ("ln -sf /usr/bin/redis-server /run/redis-check-aof",
                    "mkdir -p /run/data && mount -t ext4 /dev/vdb /run/data", SERVER,
                    f"until redis-cli -p {PORT} ping | grep -q PONG; do sleep 0.2; done"):
        guest.console.write("sh " + command)
        line = guest.hear("^sh exit ")
        if line != "sh exit 0":
            guest.fail(f"{command}: {line}")
    return guest


def kill_and_count(host, guest):
    """The greatest number whose line was whole."""
    process = next(m["pid"] for m in json.loads(host.torpor("ps", "--json").out) if m["name"] == guest.name)
    host.run("kill", "-9", process)
    lab.until(lambda: guest.name not in host.torpor("ps", "-q").out.split(), pause=0.2)
    log = host.torpor("logs", guest.name).out
    return max((int(number) for number in re.findall(r"(?m)^kept (\d+)\r?\n", log)), default=0)


def check_disk(host, disk, cut):
    """Its journal is replayed first, as a mount does; then nothing may be left to be mended."""
    host.run("e2fsck", "-p", disk, check=False)
    done = host.run("e2fsck", "-fn", disk, check=False)
    ok(f"cut {cut}: ext4 is whole", done.status == 0, done.out)


if __name__ == "__main__":
    sys.exit(suite.main([power_cut], hosts=1))
