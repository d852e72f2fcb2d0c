"""Scenarios on two hosts, host2 with another CPU model: waking on the other one under load, chains,
without a file through a pipe, many from one file, a file parked for a minute, a CPU that is lacking."""

import concurrent.futures
import platform
import re
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, DISK, note, ok

PARKED = 60


def moved(guest, other, file="moved.torpor"):
    """Save, copy, wake on the other host."""
    source, target = guest.host.path(file), other.path(file)
    guest.save(source)
    guest.host.send(source, other, target)
    guest.host.run("rm", source)
    return lab.Guest.wake(other, guest.name, target)


def under_load(host1, host2):
    """One guest with two CPUs, writing to its disk and its console, through three generations."""
    guest = lab.Guest.boot(host1, "busy", *DEBIAN, *DISK, "-c", "2")
    guest.say("load start")
    guest.say("spew start")
    time.sleep(3)
    before = guest.memory()
    guest = moved(guest, host2)
    ok("woken on the other host under disk and console load: nonce and counter",
       guest.remembers(before))
    check_load(guest)
    check_clock("on the other host", guest)

    for generation, host in ((2, host1), (3, host2)):
        before = guest.memory()
        guest = moved(guest, host)
        ok(f"generation {generation}, on {host.name}: nonce and counter", guest.remembers(before))
    ok("the third generation still writes to its disk",
       guest.say("load start") == "started" and guest.say("sync") == "done")
    check_load(guest, console=False)
    guest.kill()


def check_load(guest, console=True):
    if console:
        lines = guest.say("spew stop")
        ok("its console went on", re.fullmatch(r"stopped lines=[1-9]\d*", lines), lines)
    load = guest.say("load stop")
    ok("nothing it wrote to the disk is damaged", re.fullmatch(r"stopped ok=[1-9]\d* bad=0", load),
       load)
    found = guest.say("fsck")
    ok("its file system is clean", found == "clean", found)


def check_clock(name, guest):
    answer = guest.say("monotone 3")
    ok(f"{name}: the clock is monotonic on both CPUs", answer.startswith("ok cpus=2"), answer)
    stalls = guest.say("softlockup")
    if platform.machine() == "aarch64":
        # Seen twice beside much load, and not understood: README.md, "What is not understood".
        note(f"{name}: {stalls} lines of stalls" + ("" if stalls == "0" else "\n" + guest.say("dmesg 40")))
    else:
        ok(f"{name}: no soft lockup", stalls == "0", guest.say("dmesg 40"))


def through_a_pipe(host1, host2):
    """From one host to the other and back without a file, and a pipe that breaks."""
    guest = lab.Guest.boot(host1, "piped", *DEBIAN, *DISK, "-c", "2")
    guest.say("load start")
    content = guest.say("mem 16")
    before = guest.memory()

    with guest.pipe() as save:
        save.stdout.read(1 << 20)
        save.stdout.close()
        said = save.stderr.read().decode()
    ok("a reader that leaves after a MiB: save fails", save.returncode == 125
       and re.search("Broken pipe", said), said)
    ok("and the guest goes on where it is", guest.remembers(before))

    guest = guest.move(host2)
    note(f"save -o - | resume -d -: {guest.ms:.0f} ms")
    ok("save -o - | resume -d - on another host: nonce and counter", guest.remembers(before))
    ok("with all it had in memory", guest.say("memsum") == content)
    check_clock("out of a pipe", guest)

    twin = guest.move(host1, "-R", "--flat")
    ok("-R --flat: both go on", twin.remembers(before) and guest.remembers(before))
    ok("there was no file", not host1.run("find", host1.directory, "-name", "*.torpor*").out
       and not host2.run("find", host2.directory, "-name", "*.torpor*").out)
    guest.kill()
    check_load(twin, console=False)
    twin.kill()


def parked_and_many(host1, host2):
    """A file parked for a minute, whose guest then goes on four times at once."""
    guest = lab.Guest.boot(host1, "parked", *DEBIAN, "-c", "2")
    content = guest.say("mem 16")
    before = guest.memory()
    lived = lab.Lived(lambda: guest.number("uptime"))
    source, file = host1.path("parked.torpor"), host2.path("parked.torpor")
    guest.save(source)
    with lived.away():
        saved = time.monotonic()
        host1.send(source, host2, file)
        other_cpu(host1, host2)
        time.sleep(max(0, PARKED - (time.monotonic() - saved)))

    guest = lab.Guest.wake(host2, "parked", file)
    ok("a file parked for a minute: nonce and counter", guest.remembers(before))
    check_clock("after a minute in a file", guest)
    ok("the minute is no part of its uptime", lived.only(lambda: guest.number("uptime")))
    guest.kill()
    four_at_once(host2, file, before, content)


def four_at_once(host, file, before, content):
    names = [f"twin{n}" for n in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        twins = list(pool.map(lambda name: lab.Guest.wake(host, name, file), names))
    ok("four wake at once from one file", sorted(host.torpor("ps", "-q").out.split()) == names)
    ok("each with nonce and counter", all(twin.remembers(before) for twin in twins))
    twins[0].say("mem 8")
    ok("one overwrites its memory, the others keep theirs",
       all(twin.say("memsum") == content for twin in twins[1:]))
    for twin in twins:
        twin.kill()


def other_cpu(host1, host2):
    """The baseline wakes anywhere; what was made with host1's own CPU is refused by name."""
    guest = lab.Guest.boot(host1, "native", *DEBIAN, "--cpu", "host")
    source, file = host1.path("native.torpor"), host2.path("native.torpor")
    guest.save(source)
    host1.send(source, host2, file)
    ok("--cpu host wakes where it was saved",
       host1.torpor("compat", source, check=False).status == 0)
    for verb in (["compat", file], ["resume", file, "-d"]):
        done = host2.torpor(*verb, check=False)
        note(done.err)
        ok(f"--cpu host on another CPU: {verb[0]} refuses with the missing features' names",
           done.status == suite.INCOMPATIBLE and len(done.err.splitlines()) == 1
           and re.search(r"(lack|miss|not have).*\b[a-z][a-z0-9_.-]{2,}", done.err), done)
    host1.run("rm", source)


def same_cpu(_host1, _host2):
    suite.skip("a host with another CPU model", "one machine's KVM stands for both hosts")


if __name__ == "__main__":
    if not lab.in_lab():
        other_cpu = same_cpu
    sys.exit(suite.main([under_load, through_a_pipe, parked_and_many], hosts=2))
