"""Scenarios on one host: a guest wakes as the right machine, by its agent. The time that it is
asleep is made by moving the host's clock on."""

import json
import re
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, DISK, ok, skip

ASLEEP = 600


def right_machine(host):
    """Clock and hooks of one that woke, and of one that goes on."""
    if not may_move_clock("right_machine"):
        return
    guest = lab.Guest.boot(host, "right", *DEBIAN, *DISK)
    wake = settled(guest)
    ok("a booted guest has an agent and is owed nothing",
       (wake["agent"], wake["clock"], wake["hooks"]) == ("present", "none", "none"), wake)
    file = host.path("right.torpor")
    guest.save(file, "-R")
    ok("who goes on behind a save runs no hooks", guest.say("wakes") == "0")
    before, lived = guest.memory(), lab.Lived(lambda: clock(guest)[1])

    guest.save(file)
    move_clock(host, ASLEEP)
    guest = lab.Guest.wake(host, "right", file)
    wake = settled(guest)
    ok("the agent has set the clock and run the hooks",
       (wake["agent"], wake["clock"], wake["hooks"]) == ("present", "done", "done"), wake)
    ok("each hook went well", len(wake["ran"]) >= 4 and not any(h["status"] for h in wake["ran"]),
       wake)
    ok("it slept as long as that",
       ASLEEP <= wake["asleep"] < ASLEEP + 1 + time.monotonic() - lived.start, wake)
    check_clock(guest, "its clock is right")
    check_ptp(guest)
    ok("its monotonic clock has not slept", lived.only(lambda: clock(guest)[1]))
    ok("the same guest", guest.remembers(before))
    told = guest.say("wakes")
    ok("the hooks ran once and were told", told.startswith("1 ") and "name=right" in told
       and "generation=2" in told and f"asleep={wake['asleep']}" in told and "identity=0" in told,
       told)

    host.torpor("pause", "right")
    move_clock(host, ASLEEP)
    time.sleep(1.2)
    host.torpor("unpause", "right")
    wait(guest, lambda w: abs(clock_off(guest)) < 10)
    check_clock(guest, "right again behind a pause")
    ok("a pause runs no hooks", guest.say("wakes").startswith("1 "))
    guest.kill()
    host.run("rm", file)


def agent_in_trouble(host):
    """Absent, deaf, killed, and in the middle of its hooks when it is saved again."""
    file = host.path("trouble.torpor")
    guest = lab.Guest.boot(host, "trouble", *DEBIAN, "-m", "128M")
    guest.save(file)
    guest = lab.Guest.wake(host, "trouble", file)
    wake = wait(guest, lambda w: w["agent"] == "absent")
    ok("no agent: said, not fatal", wake["clock"] == "owed" and guest.say("uptime") != "", wake)
    ok("… and in the log", "no guest agent" in own_log(guest), own_log(guest))
    guest.kill()

    guest = lab.Guest.boot(host, "trouble", *DEBIAN, *DISK, "-m", "128M")
    wait(guest, lambda w: w["agent"] == "present")
    guest.say("sh killall -STOP qemu-ga")
    guest.save(file)
    guest = lab.Guest.wake(host, "trouble", file)
    wake = wait(guest, lambda w: w["agent"] == "silent")
    ok("an agent that is stopped: said, not fatal", guest.say("uptime") != "", wake)
    guest.say("sh killall -CONT qemu-ga")
    wake = settled(guest)
    ok("once it goes on, all is done", (wake["clock"], wake["hooks"]) == ("done", "done"), wake)

    guest.say("sh killall qemu-ga")
    guest.save(file)
    guest = lab.Guest.wake(host, "trouble", file)
    wake = settled(guest)
    ok("killed just before the save, and started again", wake["hooks"] == "done", wake)
    ok("its hooks ran once more", guest.say("wakes").startswith("2 "))
    saved_in_hooks(host, guest, file)


def saved_in_hooks(host, guest, file):
    guest.say("sh printf '#!/bin/busybox sh\\nsleep 5\\n' >/etc/torpor/wake.d/05-slow")
    guest.say("sh chmod +x /etc/torpor/wake.d/05-slow")
    guest.save(file)
    guest = lab.Guest.wake(host, "trouble", file)
    wait(guest, lambda w: w["hooks"] == "busy")
    guest.save(file)
    guest = lab.Guest.wake(host, "trouble", file)
    wake = settled(guest)
    ok("saved while its hooks ran: they run for the next wake too",
       (wake["clock"], wake["hooks"]) == ("done", "done"), wake)
    guest.kill()
    host.run("rm", file)


def new_identity(host):
    """Two clones that are to be machines of their own, beside one that is to be the same."""
    file = host.path("twin.torpor")
    guest = lab.Guest.boot(host, "twin", *DEBIAN, *DISK, "-m", "128M", "--net", "user")
    wait(guest, lambda w: w["agent"] == "present")
    wait_for_lease(guest)
    before, born = guest.memory(), identity(guest)
    guest.save(file)
    twin = lab.Guest.wake(host, "twin", file)
    clones = [lab.Guest(host, host.torpor("resume", "-d", "--new-identity", file).out.strip())
              for _ in range(2)]
    for clone in clones:
        wake = settled(clone)
        ok(f"{clone.name}: its hooks went well", wake["hooks"] == "done" and
           not any(h["status"] for h in wake["ran"]), wake)
        card = inspect(clone)["network"][0]
        wait_for_lease(clone)
        ok(f"{clone.name}: it has taken its new address, and is connected",
           card["link"] and card["mac"] == clone.say("net").split()[1] == new_mac(clone), card)
        ok(f"{clone.name}: the same guest", clone.remembers(before))
        ok(f"{clone.name}: it was told that it is new", "identity=1" in clone.say("wakes"))
    settled(twin)
    ids = [identity(each) for each in (twin, *clones)]
    ok("without --new-identity it is who it was", ids[0] == born, ids)
    for what, values in zip(("name", "machine-id", "address"), zip(*ids)):
        ok(f"three machines, three of each: {what}", len(set(values)) == 3, values)
    ok("three random numbers", len({each.say("random") for each in (twin, *clones)}) == 3)
    for each in (twin, *clones):
        each.kill()
    host.run("rm", file)


def new_mac(guest):
    return inspect(guest)["appliance"]["network"][0]["mac"]


def identity(guest):
    """Host name, machine-id, MAC address."""
    guest.console.write("sh echo is $(hostname) $(cat /etc/machine-id)")
    line = guest.hear("^is ")
    return (*line.split()[1:], guest.say("net").split()[1])


def wait_for_lease(guest):
    lab.until(lambda: not guest.say("net").startswith("-"))


def may_move_clock(name):
    if not lab.in_lab():
        skip(name, "it would move this machine's clock")
    return lab.in_lab()


def move_clock(host, seconds):
    now = float(host.run("date", "+%s.%N").out)
    host.run("date", "-s", f"@{now + seconds:.3f}")


def clock(guest):
    return [float(word) for word in guest.say("clock").split()]


def clock_off(guest):
    """The guest's clock less its host's, at least by how long asking took."""
    before = time.time()
    there = clock(guest)[0]
    after = time.time()
    return min(there - before, there - after, key=abs) if not before <= there <= after else 0.0


def check_clock(guest, name):
    off = clock_off(guest)
    ok(name, abs(off) < 2, off)


def check_ptp(guest):
    """What chrony in a guest would follow."""
    before = time.time()
    guest.console.write("sh insmod /data/ptp_kvm.ko; echo ptp $(probe ptp /dev/ptp0 2>&1)")
    said = guest.hear("^ptp ").split(maxsplit=1)[1]
    ok("KVM's PTP clock has its host's time",
       re.fullmatch(r"\d+\.\d+", said) and before - 2 < float(said) < time.time() + 2, said)


def inspect(guest):
    return json.loads(guest.host.torpor("inspect", "--json", guest.name).out)


def wake_of(guest):
    return inspect(guest)["wake"]


def wait(guest, done):
    """What is told of its waking, when done() says that this is it, or after long patience."""
    def holds():
        wake = wake_of(guest)
        return wake if done(wake) else None

    return lab.until(holds, pause=0.2) or wake_of(guest)


def settled(guest):
    """Whatever was owed is done, or has failed."""
    return wait(guest, lambda w: w["agent"] == "present" and
                not {w["clock"], w["hooks"]} & {"owed", "busy"})


def own_log(guest):
    return guest.host.torpor("logs", "--host", guest.name).out


if __name__ == "__main__":
    sys.exit(suite.main([right_machine, agent_in_trouble, new_identity], hosts=1))
