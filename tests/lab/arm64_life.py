"""Scenarios on a host of arm64: a guest is paused, woken and reset; files of the other architecture are read, and not run."""

import os
import sys

import guest as lab
import life
import suite
from suite import DEBIAN, ok


def paused_and_reset(host1):
    """Every vCPU and the chip as after power-on, in a machine that was saved, too."""
    life.paused_in_place(host1)
    guest = lab.Guest.boot(host1, "again", *DEBIAN, "-c", "4")
    before = guest.memory()
    file = host1.path("again.torpor")
    guest.save(file)
    guest = lab.Guest.wake(host1, "again", file)
    ok("four CPUs, woken: nonce and counter", guest.remembers(before))
    guest.console.write("sh reboot -f")
    ok("a reboot is a new guest with four CPUs",
       guest.hear(lab.READY) and guest.memory().nonce != before.nonce and guest.say("monotone 1").startswith("ok cpus=4"))
    guest.console.write("sh poweroff -f")
    life.check_end(host1, "PSCI's SYSTEM_OFF ends the machine", "again")


# What a host says of a file of the other architecture: verb, status, words.
OTHER = (
    ("inspect", 0, "x86_64"),
    ("verify", 0, "ok"),
    ("ls", 0, "kernel"),
    ("compat", suite.INCOMPATIBLE, "x86_64"),
    ("resume", suite.INCOMPATIBLE, "it is for x86_64; this is aarch64"),
)


def other_architecture(host1):
    """A file that every later version must wake, on the other architecture."""
    file = os.path.join(lab.REPOSITORY, "tests/golden/v1/flat.torpor")
    for verb, status, words in OTHER:
        done = host1.torpor(verb, file, check=False)
        ok(f"{verb} of a file for x86-64: status {status}",
           done.status == status and words in done.out + done.err, f"{done}")
    copy = host1.path("packed.torpor")
    ok("convert and verify of a file for x86-64",
       host1.torpor("convert", file, copy, check=False).status == 0 and
       host1.torpor("verify", copy, check=False).status == 0)


if __name__ == "__main__":
    sys.exit(suite.main([paused_and_reset, other_architecture], hosts=1))
