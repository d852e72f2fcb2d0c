#!/usr/bin/env python3
"""Measures what shares.py's rows tell: a folder of the host in images/debian (build-folders) under torpor by virtio-fs, and under
QEMU's microvm by its own 9p server, on one host, here or in the lab, in turn.

The VMM that is not measured is stopped. Prints JSON: for each of WORK a list of seconds of torpor, of QEMU with 9p as it is mounted
without options ("plain"), and with a cache that it does not ask the host about ("loose").

    sharesguests.py TORPOR
"""
import os
import signal
import subprocess
import sys
import time

import guest_figures
from bench import ROOT

IMAGE = os.path.join(ROOT, "build/images/folders")
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1"
KERNEL, INITRD = (os.path.join(IMAGE, f) for f in ("vmlinuz", "initrd.img"))
PATIENCE = 300
ROUNDS = 3
SMALL, LARGE = 400, 32 << 20  # files, and bytes of one

# What is done in a folder AT. A guest's own caches are dropped before.
WORK = {
    "small": "cat AT/small/* >/dev/null",
    "list": "ls -lR AT/small >/dev/null",
    "make": f"i=0; while [ $i -lt {SMALL // 2} ]; do echo text >AT/new/$i; i=$((i + 1)); done; rm AT/new/*",
    "read": "dd if=AT/large of=/dev/null bs=1M",
    "direct": "dd if=AT/large of=/dev/null bs=1M iflag=direct",
    "read4k": f"dd if=AT/large of=/dev/null bs=4k count={LARGE // 4 >> 12}",
}
MOUNTS = {"plain": "", "loose": ",cache=loose"}


def say(what):
    print(f"shares: {what}", file=sys.stderr, flush=True)


class Guest:
    """Its console is the VMM's standard input and output."""

    def __init__(self, argv, env=None):
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.hear(b"READY")
        self.stop()

    def hear(self, wanted):
        line = b""
        while not line.startswith(wanted):
            line = self.child.stdout.readline()
            if not line:
                sys.exit(f"shares: the guest of {self.child.args[0]} has ended")
        return line.strip()

    def run(self, script):
        """Returns how long it took."""
        start = time.monotonic()
        self.child.stdin.write(f"sh {script}\n".encode())
        self.child.stdin.flush()
        end = self.hear(b"sh exit")
        if end != b"sh exit 0":
            sys.exit(f"shares: {script}: {end}")
        return time.monotonic() - start

    def work(self, at, name):
        self.run("echo 3 >/proc/sys/vm/drop_caches")
        return self.run(f"({WORK[name].replace('AT', at)}) 2>/dev/null")

    def stop(self):
        self.child.send_signal(signal.SIGSTOP)

    def go(self):
        self.child.send_signal(signal.SIGCONT)

    def end(self):
        self.child.kill()
        self.child.wait()


def torpor(program, home, folder):
    env = dict(os.environ, **{f"XDG_{kind}": home for kind in ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME", "DATA_HOME")})
    return Guest([program, "run", "--rm", "--name", "f", "-m", "256M", "--kernel", KERNEL, "--initrd", INITRD, "--append", APPEND,
                  "-v", f"{folder}:/share"], env)


def qemu(folder):
    # One for each mount, for a guest mounts each once.
    shares = [word for how in MOUNTS for word in ("-fsdev", f"local,id={how},path={folder},security_model=none",
                                                  "-device", f"virtio-9p-device,fsdev={how},mount_tag={how}")]
    return Guest(["qemu-system-x86_64", "-M", "microvm,acpi=on", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults",
                  "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", KERNEL, "-initrd", INITRD,
                  "-append", APPEND, "-device", "virtio-rng-device", *shares])


def fill(folder):
    for name in ("small", "new"):
        os.mkdir(f"{folder}/{name}")
    for i in range(SMALL):
        with open(f"{folder}/small/{i}", "wb") as file:
            file.write(os.urandom(2000))
    with open(f"{folder}/large", "wb") as file:
        file.write(os.urandom(LARGE))


def measure(program, home):
    folder = os.path.join(home, "folder")
    os.mkdir(folder)
    fill(folder)
    ours, theirs = torpor(program, home, folder), qemu(folder)
    figures = {name: {"torpor": [], **{how: [] for how in MOUNTS}} for name in WORK}
    try:
        ours.go()
        # As the init of container images does it.
        ours.run("mkdir -p /run/share; mount -t virtiofs share0 /run/share; "
                 "echo 1024 >/sys/class/bdi/0:$(stat -c %d /run/share)/read_ahead_kb")
        ours.stop()
        theirs.go()
        for how, options in MOUNTS.items():
            theirs.run(f"mkdir -p /run/{how}; mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000{options} {how} /run/{how}")
        theirs.stop()
        for turn in range(ROUNDS):
            for name in WORK:
                ours.go()
                figures[name]["torpor"].append(ours.work("/run/share", name))
                ours.stop()
                theirs.go()
                for how in MOUNTS:
                    figures[name][how].append(theirs.work(f"/run/{how}", name))
                theirs.stop()
            say(f"turn {turn + 1}: {({name: {who: round(f[-1], 2) for who, f in of.items()} for name, of in figures.items()})}")
    finally:
        ours.end()
        theirs.end()
    return figures


if __name__ == "__main__":
    guest_figures.main(measure)
