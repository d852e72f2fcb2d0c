"""A scenario on a host of arm64 that has a GICv2: what the CPU has besides, too."""

import sys

import guest as lab
import suite
from suite import DEBIAN, INCOMPATIBLE, ok


def gicv2_on_arm64(host):
    refused = host.torpor("run", "-d", "-n", "nine", "-c", "9", *DEBIAN, check=False)
    ok("a GICv2 serves eight vCPUs, and a ninth is refused by name",
       refused.status == INCOMPATIBLE and "GICv2" in refused.err, refused.err)
    guest = lab.Guest.boot(host, "old", *DEBIAN, "-c", "2", "--cpu", "host")
    before = guest.memory()
    for generation in (1, 2):
        file = host.path(f"old{generation}.torpor")
        guest.save(file)
        guest = lab.Guest.wake(host, f"old{generation}", file)
        ok(f"GICv2, woken {generation} times: nonce and counter", guest.remembers(before))
        ok(f"GICv2, woken {generation} times: both CPUs and the clock", guest.say("monotone 1").startswith("ok cpus=2"))
    guest.console.write("sh reboot -f")
    ok("GICv2: a reboot is a new guest",
       guest.hear(lab.READY) and guest.memory().nonce != before.nonce and guest.say("monotone 1").startswith("ok cpus=2"))


if __name__ == "__main__":
    sys.exit(suite.main([gicv2_on_arm64], hosts=1))
