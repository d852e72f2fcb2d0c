"""Scenarios on two hosts: increments upon increments of a machine at work, with redis in it."""

import json
import statistics
import sys

import disks
import suite
from shop import REDIS, Shop
from suite import note, ok

MISSING = 122
SAVES = 3  # at full rate


def ten_deep(host1, host2):
    chain(host1, host2, 10)
    disks.power_cut(host1)  # here, because it needs a host and redis, as this does


def chain(host1, host2, depth):
    shop = Shop.boot(host1, "web", *REDIS)
    shop.open()
    before = shop.look()
    host1.run("mkdir", host1.path("chain"))
    host2.run("mkdir", host2.path("chain"))
    shop.save(link(host1, 0), "-R")
    for level in range(1, depth):
        increment(shop, level)
    top_and_full(shop, depth)
    ok(f"{depth} increments later: all of its keys, and it works on", shop.went_on(before))
    shop.close()
    at_full_rate(shop, host1.path("full.torpor"))
    shop.kill()
    report_sizes(host1, depth)
    merged, full = (images(host1, host1.path(f"{name}.torpor")) for name in ("merged", "full"))
    ok("the chain merged is what the full save holds, frame by frame", full and merged == full,
       f"{merged}\n{full}")
    for level in range(depth + 1):
        host1.send(link(host1, level), host2, link(host2, level))
    back_and_forth(host1, host2, depth, before)
    one_is_missing(host2, depth)


def link(host, level):
    return host.path(f"chain/{level}.torpor")


def increment(shop, level):
    shop.save(link(shop.host, level), "-R", "--parent", link(shop.host, level - 1))


def top_and_full(shop, depth):
    """The last increment and a full save of the same moment."""
    host = shop.host
    host.torpor("pause", shop.name)
    increment(shop, depth)
    shop.save(host.path("full.torpor"), "-R", "--full")
    host.torpor("unpause", shop.name)
    host.torpor("flatten", link(host, depth), "-o", host.path("merged.torpor"))


def at_full_rate(shop, parent):
    """Saved while redis does nothing but write: what it had acknowledged before a save began is in the file."""
    idle, busy, written = [], [], {}
    for i in range(SAVES):
        parent, ms = increment_of(shop, parent, f"idle-{i}")
        idle.append(ms)
    writer = shop.at_full_rate()
    for i in range(SAVES):
        acknowledged = next_write(shop, writer)
        parent, ms = increment_of(shop, parent, f"busy-{i}")
        written[parent] = acknowledged
        busy.append(ms)
    last = next_write(shop, writer)
    writer.end()
    has = shop.look()
    ok("saved while redis is at full rate, it goes on with every write",
       last > acknowledged and has.writes >= last and has.bad == has.softlockups == 0, f"{written} {last} {has}")
    note(f"it stood still for {statistics.median(busy):.2f} ms, and {statistics.median(idle):.2f} ms at rest")
    for file, acknowledged in written.items():
        copy = Shop.wake(shop.host, "copy", file)
        had = copy.look()
        ok("its file has all that was acknowledged before it, and no write by half",
           had.nonce == has.nonce and had.writes >= acknowledged and had.bad == 0, f"{acknowledged} {had}")
        copy.kill()


def increment_of(shop, parent, name):
    """A file of a machine that goes on, and the milliseconds that it stood still."""
    file = shop.host.path(f"{name}.torpor")
    said = shop.host.torpor("save", "-R", "--json", shop.name, "--parent", parent, "-o", file)
    return file, 1000 * json.loads(said.out)["seconds"]


def next_write(shop, writer):
    """The number of writes that redis acknowledges next."""
    writer.seen = len(writer.lines)
    line = writer.wait(r"^\d+$", shop.lives)
    if line is None:
        shop.fail("it writes nothing")
    return int(line)


def images(host, file):
    """Digests of what memory and disks hold, whatever their encoding."""
    listed = json.loads(host.torpor("ls", "--json", file).out)
    return {entry["role"]: entry["digest"] for entry in listed["contents"] if "frames" in entry}


def report_sizes(host, depth):
    sizes = [int(host.run("stat", "-c", "%s", link(host, level)).out) / (1 << 20)
             for level in range(depth + 1)]
    full = int(host.run("stat", "-c", "%s", host.path("full.torpor")).out) / (1 << 20)
    note("MiB: " + " ".join(f"{size:.1f}" for size in sizes) + f"; full {full:.1f}")
    ok("each increment is smaller than half a full save", max(sizes[1:]) < full / 2)


def back_and_forth(host1, host2, depth, before):
    """On host2 from all the files; saved there while it is still being paged in; back on host1."""
    shop = Shop.wake(host2, "web", link(host2, depth), "--fill", "none")
    ok(f"the top of {depth} on the other host: all of its keys, and it works on",
       shop.went_on(before))
    half_way = host2.path("half-way.torpor")
    for host in host1, host2:
        host.run("sh", "-c", 'printf "%064d" 7 >"$1"; chmod 600 "$1"', "sh", host.path("key"))
    shop.save(half_way, "--full", "--encrypt", "--key-file", host2.path("key"))
    host2.send(half_way, host1, host1.path("half-way.torpor"))
    done = host1.torpor("resume", "-d", host1.path("half-way.torpor"), check=False)
    ok("encrypted, it does not wake without its key", done.status != 0 and "key" in done.err, done)
    shop = Shop.wake(host1, "web", host1.path("half-way.torpor"),
                     "--key-file", host1.path("key"))
    ok("saved as a whole while memory was still arriving, encrypted, back home", shop.went_on(before))
    shop.kill()


def one_is_missing(host, depth):
    lost = link(host, depth // 2)
    digest = json.loads(host.torpor("ls", "--json", lost).out)["digest"]
    host.run("rm", lost)
    done = host.torpor("resume", "-d", link(host, depth), check=False)
    ok("without one of them, the top is refused and that one's digest is named",
       done.status == MISSING and digest in done.err and len(done.err.splitlines()) == 1, done)


if __name__ == "__main__":
    sys.exit(suite.main([ten_deep], hosts=2))
