#!/usr/bin/env python3
"""Measures what exec.py's rows tell: images/debian under torpor and under QEMU microvm on one host, here or in the lab.

The VMM that is not measured is stopped. Prints JSON:
  "exec"   milliseconds of `torpor exec NAME -- busybox true`, for each round
  "agent"  the same command asked of the stock agent itself, through QEMU's socket: guest-exec, then guest-exec-status
           until it has ended
  "out", "in"   bytes a second of `torpor cp`, out of the guest and into it
  "port"   bytes a second that a named console port of QEMU brings out of the guest, read from its socket

    execguests.py TORPOR
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import guest_figures
from bench import ROOT

IMAGE = os.path.join(ROOT, "build/images/debian")
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1"
KERNEL, INITRD, DISK = (os.path.join(IMAGE, f) for f in ("vmlinuz", "initrd.img", "disk.img"))
PATIENCE = 240
ROUNDS = 11
COPIED = 8 << 20
BOX = "/bin/busybox"


def say(what):
    print(f"exec: {what}", file=sys.stderr, flush=True)


class Torpor:
    def __init__(self, torpor, home):
        self.torpor, self.home = torpor, home
        self.env = dict(os.environ, **{f"XDG_{kind}": home for kind in
                                       ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME", "DATA_HOME")})
        self.call("run", "-d", "--name", "e", "-m", "256M", "--kernel", KERNEL, "--initrd", INITRD, "--append", APPEND,
                  "--disk", DISK)
        self.call("wait", "--until", f"exec:{BOX} true", "--timeout", str(PATIENCE), "e")
        self.pid = json.loads(self.call("ps", "--json"))[0]["pid"]

    def call(self, *argv, **how):
        how.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([self.torpor, *argv], env=self.env, check=True, timeout=PATIENCE, **how).stdout

    def exec_ms(self):
        start = time.monotonic()
        self.call("exec", "e", "--", BOX, "true")
        return (time.monotonic() - start) * 1000

    def copy_rates(self):
        self.call("exec", "e", "--", BOX, "dd", "if=/dev/urandom", "of=/run/file", "bs=1M",
                  f"count={COPIED >> 20}", stderr=subprocess.DEVNULL)
        start = time.monotonic()
        stream = self.call("cp", "e:/run/file", "-")
        middle = time.monotonic()
        self.call("cp", "-", "e:/run", input=stream)
        end = time.monotonic()
        return len(stream) / (middle - start), len(stream) / (end - middle)

    def end(self):
        os.kill(self.pid, signal.SIGCONT)
        self.call("kill", "e")


class Qemu:
    def __init__(self, home):
        self.paths = [os.path.join(home, name) for name in ("agent", "bench")]
        self.child = subprocess.Popen([
            "qemu-system-x86_64", "-M", "microvm,acpi=on", "-accel", "kvm", "-cpu", "host", "-m", "256",
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "null", "-no-reboot",
            "-kernel", KERNEL, "-initrd", INITRD, "-append", APPEND,
            "-drive", f"file={DISK},format=raw,id=d,if=none,snapshot=on", "-device", "virtio-blk-device,drive=d",
            "-device", "virtio-rng-device", "-device", "virtio-serial-device",
            "-chardev", f"socket,id=agent,path={self.paths[0]},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-chardev", f"socket,id=bench,path={self.paths[1]},server=on,wait=off",
            "-device", "virtserialport,chardev=bench,name=bench"])
        self.pid = self.child.pid
        self.agent, self.port = (self.connect(path) for path in self.paths)
        self.lines = self.agent.makefile("rb")
        self.agent.sendall(b'\xff{"execute":"guest-sync-delimited","arguments":{"id":77}}\n')
        while b'"return": 77' not in self.lines.readline():
            pass

    def connect(self, path):
        end = time.monotonic() + PATIENCE
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            try:
                connection.connect(path)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > end or self.child.poll() is not None:
                    raise
                time.sleep(0.05)

    def ask(self, command, **arguments):
        self.agent.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        return json.loads(self.lines.readline())["return"]

    def run(self, *argv):
        return self.ask("guest-exec", path=BOX, arg=list(argv))["pid"]

    def exec_ms(self):
        start = time.monotonic()
        pid = self.run("true")
        while not self.ask("guest-exec-status", pid=pid)["exited"]:
            pass
        return (time.monotonic() - start) * 1000

    def port_rate(self):
        """From the first byte to the last."""
        self.run("sh", "-c", "for p in /sys/class/virtio-ports/*; do [ $(busybox cat $p/name) = bench ] && "
                 f"busybox dd if=/dev/zero of=/dev/${{p##*/}} bs=32k count={COPIED >> 15}; done")
        got = len(self.port.recv(1))
        start = time.monotonic()
        while got < COPIED:
            got += len(self.port.recv(1 << 20))
        return COPIED / (time.monotonic() - start)

    def end(self):
        self.child.kill()
        self.child.wait()


def measure(torpor, home):
    ours = Torpor(torpor, home)
    say("torpor's guest is ready")
    os.kill(ours.pid, signal.SIGSTOP)
    theirs = Qemu(home)
    say("QEMU's guest is ready")
    figures = {"exec": [], "agent": []}
    try:
        for _ in range(ROUNDS):
            figures["agent"].append(theirs.exec_ms())
            os.kill(theirs.pid, signal.SIGSTOP)
            os.kill(ours.pid, signal.SIGCONT)
            figures["exec"].append(ours.exec_ms())
            os.kill(ours.pid, signal.SIGSTOP)
            os.kill(theirs.pid, signal.SIGCONT)
        figures["port"] = theirs.port_rate()
        os.kill(theirs.pid, signal.SIGSTOP)
        os.kill(ours.pid, signal.SIGCONT)
        figures["out"], figures["in"] = ours.copy_rates()
    finally:
        theirs.end()
        ours.end()
    return figures


if __name__ == "__main__":
    guest_figures.main(measure)
