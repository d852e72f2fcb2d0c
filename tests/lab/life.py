"""Scenarios on one host: a guest's life from boot to power-off, sizes of memory, what `--cpu host`
records, the generation counter."""

import json
import os
import platform
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, DISK, ok


def boot_and_end(host):
    guest = lab.Guest.boot(host, "life", *DEBIAN, *DISK, "-c", "2")
    ok(f"Debian boots to its userland ({guest.ready_ms / 1000:.1f} s)", guest.nonce)
    ok("with two CPUs", guest.say("cpus") == "2")
    check_listed(host, guest)

    first = guest.nonce
    guest.console.write("reboot")
    guest.await_ready()
    ok("reboots cleanly: READY again with another nonce", guest.nonce != first)
    ok("still two CPUs, no complaint of the kernel",
       guest.say("cpus") == "2" and guest.say("softlockup") == "0")

    guest.console.write("poweroff")
    check_end(host, "the guest powers itself off", "life")


def check_listed(host, guest):
    listed = json.loads(host.torpor("ps", "--json").out)
    ok("ps lists it as running", [m["state"] for m in listed if m["name"] == "life"] == ["running"],
       listed)
    about = json.loads(host.torpor("inspect", "--json", "life").out)
    ok("inspect tells its CPUs and memory", about["vcpus"] == 2 and about["memory"] == 256 << 20,
       about)
    ok("logs have its first line", f"READY nonce={guest.nonce}" in host.torpor("logs", "life").out)


def check_end(host, name, machine):
    done = host.torpor("wait", machine, check=False)
    ok(name, done.status == 0 and "poweroff" in done.out, f"{done}")


def agent_was_asked(host, name):
    return "its agent is asked to switch off" in host.torpor("logs", "--host", name).out


def power_button(host):
    guest = lab.Guest.boot(host, "button", *DEBIAN, *DISK)
    guest.say("load start")
    host.torpor("stop", "-t", lab.PATIENCE, "button")
    check_end(host, "torpor stop: the ACPI power button switches a busy guest off", "button")
    ok("nobody had to ask its agent", not agent_was_asked(host, "button"))


def paused_in_place(host):
    """Parked and unparked without a file; the longer park of a file is in travel.py."""
    guest = lab.Guest.boot(host, "park", *DEBIAN, "-c", "2")
    before = guest.memory()
    lived = lab.Lived(lambda: guest.number("uptime"))
    host.torpor("pause", "park")
    with lived.away():
        start = time.monotonic()
        listed = json.loads(host.torpor("ps", "--json").out)
        ok("ps lists a paused one", [m["state"] for m in listed] == ["paused"], listed)
        generation_is_seen(host)
        time.sleep(max(0, 60 - (time.monotonic() - start)))
    host.torpor("unpause", "park")
    ok("a minute paused in place: nonce and counter", guest.remembers(before))
    ok("the minute is no part of its uptime", lived.only(lambda: guest.number("uptime")))
    check_clock("after a minute paused in place", guest)
    guest.kill()


def check_clock(name, guest):
    answer = guest.say("monotone 3")
    ok(f"{name}: the clock is monotonic on both CPUs", answer.startswith("ok cpus=2"), answer)
    ok(f"{name}: no soft lockup", guest.say("softlockup") == "0", guest.say("dmesg 20"))


def generation_is_seen(host):
    """Debian's generic kernel, the lab's own, has the driver; no disk, for its modules differ."""
    if platform.machine() == "aarch64":
        suite.skip("VMGenID", "by a device tree it is seen since Linux 6.10")
        return
    kernel = os.path.join(lab.REPOSITORY, "build/lab/kernel/vmlinux")
    if not os.path.exists(kernel):
        suite.skip("VMGenID", "no generic kernel: the lab was never used here")
        return
    seen = "sh dmesg | grep -c 'reseeded due to virtual machine fork'"
    guest = lab.Guest.boot(host, "generation", "--kernel", kernel, *DEBIAN[2:])
    before = guest.memory()
    guest.console.write(seen)
    ok("VMGenID: quiet as long as the guest stays one", guest.hear("^0$"))
    guest.say("sync")
    file = host.path("generation.torpor")
    guest.save(file)
    guest = lab.Guest.wake(host, "generation", file)
    guest.console.write(seen)
    ok("VMGenID: the woken kernel reseeds its random numbers", guest.hear("^1$"))
    ok("VMGenID: nonce and counter", guest.remembers(before))
    guest.kill()
    host.run("rm", file)


def memory_3584(host):
    memory_above_4g(host, "3584M")


def memory_5120(host):
    memory_above_4g(host, "5G")


def memory_above_4g(host, size):
    """Linux takes pages from the zone above 4 GiB first, so what `mem` writes lies there."""
    name = f"{size} of memory"
    guest = lab.Guest.boot(host, "big", *DEBIAN, "-m", size)
    free = normal_free(guest)
    total = guest.say("mem 64")
    taken = free - normal_free(guest)
    ok(f"{name}: 64 MiB of random pages lie above 4 GiB", taken > 14000, f"{taken} pages")
    before = guest.memory()
    file = host.path("big.torpor")
    ms = guest.save(file)
    used = int(host.run("stat", "-c", "%s", file).out) >> 20
    guest = lab.Guest.wake(host, "big", file)
    ok(f"{name}: same pages after save ({ms / 1000:.0f} s, {used} MiB) and resume",
       guest.say("memsum") == total)
    ok(f"{name}: nonce and counter", guest.remembers(before))
    guest.kill()
    host.run("rm", file)


def normal_free(guest):
    """Free pages of the zone above 4 GiB."""
    guest.console.write("sh grep -A1 'zone *Normal' /proc/zoneinfo")
    line = guest.hear(r"pages free")
    if line is None:
        guest.fail("no zone above 4 GiB")
    return int(line.split()[-1])


if __name__ == "__main__":
    sys.exit(suite.main([boot_and_end, power_button, paused_in_place, memory_3584, memory_5120],
                        hosts=1))
