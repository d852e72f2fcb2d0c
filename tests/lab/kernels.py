"""A scenario on two hosts, host2 with another CPU model: newer kernels than the one of the other guests go to the other
host at work."""

import os
import re
import sys

import guest as lab
import suite
from suite import ok
from vector import all_work, no_avx2

# What images/debian/build-kernel makes, and the version that the matrix wants of it at least.
KERNELS = {"bookworm-backports": 6.12, "trixie-backports": 7.0}


def newer_kernels(host1, host2):
    no_vectors = no_avx2(host1) or no_avx2(host2)
    for source, least in KERNELS.items():
        folder = os.path.join(lab.REPOSITORY, f"build/images/kernel-{source}")
        missing = os.path.join(folder, "missing")
        if os.path.exists(missing):
            with open(missing, encoding="utf-8") as reason:
                suite.skip(f"a guest of the kernel in {source}", reason.read().strip())
            continue
        with open(os.path.join(folder, "release"), encoding="utf-8") as release:
            travel(host1, host2, folder, release.read().strip(), no_vectors, least)


def travel(host1, host2, folder, release, no_vectors, least):
    # Without XSETBV, new kernels panic with a CPU that promises AVX.
    cpu = ["--cpu", "v2"] if no_vectors else []
    guest = lab.Guest.boot(host1, "newer", "--kernel", f"{folder}/vmlinuz", "--initrd", f"{folder}/initrd.img",
                           "--append", suite.APPEND, "-c", "2", *cpu)
    version = tuple(map(int, re.match(r"(\d+)\.(\d+)", release).groups()))
    ok(f"{release} boots", version >= tuple(map(int, str(least).split("."))), release)
    if no_vectors:
        suite.skip(f"{release} computes with AVX2 meanwhile", no_vectors)
    else:
        guest.say("vector start 2")
        all_work(guest)
    content = guest.say("mem 16")
    before = guest.memory()
    guest = guest.move(host2)
    ok(f"{release} goes to another host: nonce, counter and memory",
       guest.remembers(before) and guest.say("memsum") == content)
    if not no_vectors:
        all_work(guest)
        stopped = guest.say("vector stop")
        ok(f"{release}: every AVX2 result is right", " bad=0 " in stopped, stopped)
    clock = guest.say("monotone 2")
    ok(f"{release}: the clock is monotonic on both CPUs, no soft lockup",
       clock.startswith("ok cpus=2") and guest.say("softlockup") == "0", clock)
    guest.console.write("poweroff")
    ended = host2.torpor("wait", guest.name, check=False)
    ok(f"{release} powers off", ended.status == 0 and "poweroff" in ended.out, ended)
    guest.console.end()


if __name__ == "__main__":
    sys.exit(suite.main([newer_kernels], hosts=2))
