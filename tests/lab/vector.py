"""A scenario on two hosts, host2 with another CPU model: a guest that computes with AVX2 in more threads than it
has CPUs is saved, goes to the other host, and home again, and every result is right."""

import os
import re
import sys

import guest as lab
import share
import suite
import vsock
from suite import DEBIAN, ok

THREADS = 4
CPUS = 2
GOOD_EMULATOR = 10  # before that version of QEMU, KVM in it has no AVX for its guests


def computing_with_avx2(host1, host2):
    # Here, because they need two hosts, as this does.
    share.shared(host1, host2)
    vsock.connections(host1, host2)
    why = no_avx2(host1) or no_avx2(host2)
    if why:
        suite.skip("a guest that computes with AVX2", why)
        return
    guest = lab.Guest.boot(host1, "vector", *DEBIAN, "-c", str(CPUS))
    ok(f"{THREADS} threads compute with AVX2 on {CPUS} CPUs",
       guest.say(f"vector start {THREADS}") == "started")
    all_work(guest)
    for host in (host2, host1):
        before = guest.memory()
        guest = guest.move(host)
        ok(f"saved amid that and woken on {host.name}: nonce and counter", guest.remembers(before))
        all_work(guest)
    stopped = guest.say("vector stop")
    ok("every result is right", re.fullmatch(r"stopped ok=[1-9]\d* bad=0 least=[1-9]\d*", stopped), stopped)
    suite.note(stopped)
    guest.kill()


def all_work(guest):
    """Each thread has two more right results: the block that was cut short by a save, and one that was not."""
    enough = least(guest) + 2
    if not lab.until(lambda: least(guest) >= enough):
        guest.fail(f"a thread computes no more: {guest.say('vector look')}")


def least(guest):
    return int(re.search(r"least=(\d+)", guest.say("vector look"))[1])


def no_avx2(host):
    """Why guests have none there, or None."""
    version = os.environ.get("LAB_QEMU")
    if version and int(version.split(".")[0]) < GOOD_EMULATOR:
        return f"KVM in QEMU {version.split()[0]} has no AVX for its guests"
    if host.run("grep", "-qw", "avx2", "/proc/cpuinfo", check=False).status != 0:
        return f"the CPU of {host.name} has none"
    return None


if __name__ == "__main__":
    sys.exit(suite.main([computing_with_avx2], hosts=2))
