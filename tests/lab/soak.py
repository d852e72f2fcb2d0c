"""The long scenarios, for `make soak`."""

import json
import re
import socket
import sys
import time

import guest as lab
import suite
from chain import chain
from exec import both_ways, boot, shell
from golden import record, test, write
from suite import DEBIAN, DISK, ok

STORM = 25  # saves of each kind
GREEDY = 8  # tests that want 45 MB each besides what their guests have
ROOM = 200  # MiB that the host has left for them


def fifty_deep(host1, host2):
    chain(host1, host2, 50)


def save_storm(host, _):
    """A busy guest is saved again and again and goes on each time: first as it is, then each time
    with all that it has free just discarded."""
    guest = lab.Guest.boot(host, "storm", *DEBIAN, *DISK, "-c", "2")
    content = guest.say("mem 48")
    guest.say("load start")
    guest.console.write("sh (while :; do ls / | cat | cat; done) </dev/null >/dev/null 2>&1 &")
    guest.hear("^sh exit 0")
    before = guest.memory()
    for name, prepare in (("as it is", lambda _: None), ("behind hints", discard_free)):
        for _ in range(STORM):
            prepare(guest)
            guest.save(host.path("storm.torpor"), "-R")
            guest.remembers(before)
        ok(f"{STORM} saves {name}: the same guest, and the same pages",
           guest.say("memsum") == content)
    stopped = guest.say("load stop")
    ok("what it wrote to its disk meanwhile is there", stopped.endswith("bad=0"), stopped)
    ok("no soft lockup", guest.say("softlockup") == "0", guest.say("dmesg 20"))
    guest.kill()


def gigabyte(host, _):
    """1 GiB through the standard input and the standard output of commands, and there and back by cp."""
    host.run("bash", "-c", "truncate -s 1200M /tmp/giga.img && mkfs.ext4 -q -m 0 /tmp/giga.img")
    guest = boot(host, "giga", "--disk", "/tmp/giga.img")
    both_ways(host, "giga", 1 << 30)
    got = shell(host, """
        set -e; cd /tmp
        torpor exec giga -- busybox sh -c 'mkdir /big && mount -t ext4 /dev/vdb /big'
        head -c 1G /dev/urandom >file; sha256sum <file
        time torpor cp file giga:/big; torpor exec giga -- busybox sha256sum /big/file; rm file
        time torpor cp giga:/big/file .; sha256sum <file; rm file""")
    suite.note("cp of 1 GiB, there and back: " + " ".join(got.err.split()))
    digests = re.findall(r"^[0-9a-f]{64}", got.out, re.M)
    ok("the same file there and back", got.status == 0 and len(digests) == 3 and len(set(digests)) == 1, got)
    guest.kill()


def huge_pages(host, count):
    """Take so many pages of 2 MiB from the host's memory."""
    host.run("bash", "-c", f"echo {count} >/proc/sys/vm/nr_hugepages")


def more_than_the_memory(host, _):
    """Tests that want more memory together than the host has: the kernel ends machines."""
    if not lab.in_lab():
        suite.skip("tests that want more memory than the host has", "that host is this machine")
        return
    # Who has what it wants keeps it until the kernel has ended somebody.
    count = "awk '/^oom_kill / { print $2 }' /proc/vmstat"
    before = host.run("sh", "-c", count).out.strip()
    fill = "timeout: 900\n\n" \
           "  $ mkdir /run/fill; mount -t tmpfs -o size=60m none /run/fill; head -c 45000000 /dev/zero >/run/fill/it\n" \
           f"  % until [ $({count}) -gt {before} ]; do sleep 0.2; done\n" \
           "  $ wc -c </run/fill/it\n  45000000\n"
    golden = record(host, "redis")
    files = [write(host, f"fill-{i}.t", fill) for i in range(GREEDY)]
    junit = host.path("memory.xml")
    available = int(host.run("awk", "/^MemAvailable:/ { print int($2 / 1024) }", "/proc/meminfo").out)
    huge_pages(host, (available - ROOM) // 2)
    got = test(host, golden, "redis", "-j", str(GREEDY), "--no-save", "--junit", junit, *files)
    huge_pages(host, 0)
    counts = re.search(r"(\d+) passed, 0 failed, (\d+) not run\n$", got.out)
    passed, broken = map(int, counts.groups()) if counts else (0, 0)
    suite.note(f"{passed} passed, {broken} not run")
    ok("some tests do without the memory of others", got.status == 125 and passed + broken == GREEDY and passed and broken, got)
    ok("the others say why", got.err.count("lack of memory: run fewer tests at a time") >= broken, got)
    report = host.run("cat", junit).out
    ok("the report has all of them", report.count("<testcase ") == GREEDY and report.count("<error ") == broken, report)
    ok("no machine is left", host.torpor("ps", "-aq").out == "")


def discard_free(guest):
    """Ask for hints of what is free, and wait until the guest has gone through it; for some time
    only, for it may be short of memory just then."""
    deadline = time.monotonic() + 5
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(lab.PATIENCE)
        control.connect(guest.host.path(f"runtime_dir/torpor/{guest.name}/control"))
        with control.makefile("rw") as stream:
            if not request(stream, do="trim", caches=False)["able"]:
                guest.fail("its guest gives no hints")
            while request(stream, do="trimming")["busy"] and time.monotonic() < deadline:
                time.sleep(0.01)


def request(stream, **what):
    """One line of the control protocol, host/protocol.h, and its answer."""
    stream.write(json.dumps(what) + "\n")
    stream.flush()
    return json.loads(stream.readline())


if __name__ == "__main__":
    sys.exit(suite.main([fifty_deep, save_storm, gigabyte, more_than_the_memory], hosts=2))
