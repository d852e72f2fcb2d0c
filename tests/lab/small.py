"""Scenarios on one host: what a guest has freed, and with --trim its caches, are not in the file; what is in the balloon is the
host's."""

import json
import sys

import guest as lab
import limits
import suite
from suite import DEBIAN, note, ok

MIB = 1 << 20
CACHED = 32  # MiB of random bytes in a file on the disk
DISK = 40    # MiB
USED = 48    # MiB of random pages in a tmpfs
FILE = "/data/random"


def freed_memory(host):
    """Twice: of a machine that booted, and of one that woke, where a file stands behind memory."""
    disk, digest = random_disk(host)
    guest = lab.Guest.boot(host, "small", *DEBIAN, "--disk", disk, "-m", "256M")
    before = guest.memory()
    guest.say(f"mem {USED}")
    full = saved_size(guest, "-R")
    guest.say("sh rm /run/mem/pages")
    ok(f"most of {USED} MiB freed is not saved", leaves_out(guest, full, 0.7 * USED))
    content = guest.say("mem 8")

    file = host.path("small.torpor")
    digest_of_file(guest)
    cached = saved_size(guest, "-R")
    for life in ("booted", "woken"):
        ok(f"{life}: a file read into its cache", digest_of_file(guest) == digest)
        guest.save(file, "--trim")
        trimmed = size_of(host, file)
        note(f"{life}: {cached:.1f} MiB with {CACHED} of cache, {trimmed:.1f} trimmed")
        ok(f"{life}: --trim leaves most of the cache out", cached - trimmed > 0.6 * CACHED)
        guest = lab.Guest.wake(host, "small", file)
        ok(f"{life}, trimmed, woken: nonce and counter", guest.remembers(before))
        ok(f"{life}, trimmed, woken: what it kept in memory",
           guest.say("memsum") == content)
    ok("it reads its file again", digest_of_file(guest) == digest)
    ok("it has its memory back", guest.say("mem 120") != "")
    squeezed(host, guest)
    limits.live(guest)  # here, because it needs a guest of Debian, as this does
    guest.kill()
    host.run("rm", "-r", file, disk)


def squeezed(host, guest):
    """The guest has touched 120 MiB: the balloon takes what it has freed of them, and the host has that."""
    def balloon():
        return json.loads(host.torpor("balloon", "--json", "small").out)

    def resident():
        return json.loads(host.torpor("stats", "--json", "small").out)["resident"] / MIB

    before = resident()
    guest.say("sh rm /run/mem/pages")
    available = balloon()["guest"]["available"]
    host.torpor("balloon", "small", "128M")
    ok("the balloon takes what is asked for", lab.until(lambda: balloon()["actual"] == 128 * MIB), balloon())
    said = balloon()["guest"]
    ok("the guest says that it has less", said["available"] < available - 64 * MIB, (available, said))
    ok("stats say that the host has it", lab.until(lambda: before - resident() > 60), (before, resident()))
    host.torpor("balloon", "small", "0")
    ok("the balloon gives it back", lab.until(lambda: balloon()["actual"] == 0), balloon())
    ok("and the guest uses it", guest.say("mem 120") != "")


def leaves_out(guest, full, amount):
    """At once, or when a guest on a busy host has come to tell, as it does every few seconds."""
    def holds():
        left_out = full - saved_size(guest, "-R")
        note(f"{left_out:.1f} MiB left out")
        return left_out > amount

    return lab.until(holds, pause=0)


def random_disk(host):
    """An ext4 with one file; its digest."""
    root, disk = host.path("root"), host.path("disk.img")
    host.run("mkdir", root)
    host.run("dd", "if=/dev/urandom", f"of={root}/random", "bs=1M", f"count={CACHED}")
    digest = host.run("sha256sum", f"{root}/random").out.split()[0]
    host.run("truncate", "-s", f"{DISK}M", disk)
    host.run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, disk)
    host.run("rm", "-r", root)
    return disk, digest


def digest_of_file(guest):
    guest.console.write(f"sh sha256sum {FILE}")
    line = guest.hear(f"{FILE}$")
    return line.split()[0] if line else None


def size_of(host, file):
    return int(host.run("stat", "-c", "%s", file).out) / MIB


def saved_size(guest, *options):
    """In MiB, of a file that is not kept."""
    file = guest.host.path("size.torpor")
    guest.save(file, *options)
    size = size_of(guest.host, file)
    guest.host.run("rm", file)
    return size


if __name__ == "__main__":
    sys.exit(suite.main([freed_memory], hosts=1))
