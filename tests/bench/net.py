#!/usr/bin/env python3
"""Rows about the network: images/web under torpor and under QEMU on one host, here or in the lab.

Both guests are up all the time; the one that is not measured is stopped by a signal. What is measured is TCP by
iperf3, both ways, SET requests of 64 bytes by redis-benchmark, one after the other, and the CPU time that the VMM takes
for them outside of the guest.

Run by itself it measures and prints JSON; `net.py KIND ROUNDS` with a kind of NETS.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from bench import ROOT, row

IMAGE = os.path.join(ROOT, "build/images/web")
# Copied, so that a build going on beside does not change what is measured.
TORPOR = os.path.join(ROOT, "build/lab-bin/torpor-net")
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1"
KERNEL, INITRD, DISK = (os.path.join(IMAGE, f) for f in ("vmlinuz", "initrd.img", "disk.img"))
IPERF, REDIS = 5201, 6379
PATIENCE = 240
SECONDS = 4  # of each iperf3
REQUESTS = 1500
SEGMENT = 1448  # bytes that a packet of Ethernet's size carries


class Vmm:
    """A process with a guest in it, and how its servers are reached."""

    def __init__(self, name, argv, env, address, iperf, redis):
        self.name, self.address, self.iperf_port, self.redis_port = name, address, iperf, redis
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.child.stdout.fileno(), False)
        self.seen = b""

    def await_ready(self):
        end = time.monotonic() + PATIENCE
        while b"READY" not in self.seen:
            if time.monotonic() > end or self.child.poll() is not None:
                sys.exit(f"net: no READY from {self.name}: {self.seen[-500:]!r}")
            self.seen += self.child.stdout.read() or b""
            time.sleep(0.05)
        print(f"net: {self.name} is ready", file=sys.stderr, flush=True)

    def signal(self, number):
        self.child.send_signal(number)

    def cpu(self):
        """Seconds of CPU that the process took, without those in the guest."""
        ticks = 0
        for task in os.listdir(f"/proc/{self.child.pid}/task"):
            with open(f"/proc/{self.child.pid}/task/{task}/stat") as f:
                field = f.read().rpartition(")")[2].split()
            ticks += int(field[11]) + int(field[12]) - int(field[40])  # utime, stime, guest_time
        return ticks / os.sysconf("SC_CLK_TCK")

    def measured(self, function):
        """What it returns, and the CPU time meanwhile."""
        before = self.cpu()
        result = function()
        return result, self.cpu() - before

    def iperf(self, *options):
        """Bits a second, and bytes."""
        argv = ["iperf3", "-J", "-c", self.address, "-p", str(self.iperf_port), "-t", str(SECONDS), *options]
        out = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, timeout=PATIENCE, check=False).stdout)
        if "error" in out:
            sys.exit(f"net: {self.name}: {out['error']}")
        return out["end"]["sum_received"]["bits_per_second"], out["end"]["sum_received"]["bytes"]

    def requests(self):
        """A second."""
        argv = ["redis-benchmark", "-h", self.address, "-p", str(self.redis_port), "-t", "set", "-d", "64",
                "-c", "1", "-n", str(REQUESTS), "--csv"]
        out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True).stdout
        return float(out.splitlines()[-1].split(",")[1].strip('"'))

    def round(self):
        """Bits a second each way and CPU microseconds a packet; requests a second and CPU microseconds each."""
        figures = {}
        for way, options in (("in", []), ("out", ["-R"])):
            (rate, size), cpu = self.measured(lambda o=options: self.iperf(*o))
            figures[way] = rate
            figures[way + "_cpu"] = cpu * 1e6 / (size / SEGMENT)
        figures["rr"], cpu = self.measured(self.requests)
        figures["rr_cpu"] = cpu * 1e6 / REQUESTS
        print(f"net: {self.name}: {figures}", file=sys.stderr, flush=True)
        return figures


def torpor(home, net):
    env = dict(os.environ, **{f"XDG_{kind}": home for kind in ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME", "DATA_HOME")})
    return [TORPOR, "run", "--rm", "--name", "net", "-m", "512M", "--kernel", KERNEL, "--initrd", INITRD,
            "--append", APPEND, "--disk", DISK, *net], env


def qemu(net):
    return ["qemu-system-x86_64", "-M", "microvm,acpi=on", "-accel", "kvm", "-cpu", "host", "-m", "512",
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", KERNEL, "-initrd", INITRD, "-append", APPEND,
            "-drive", f"file={DISK},format=raw,id=d,if=none,snapshot=on", "-device", "virtio-blk-device,drive=d",
            "-device", "virtio-serial-device", "-device", "virtio-rng-device",
            "-device", "virtio-net-device,netdev=n", *net], None


def start_user(home):
    ports = ((15201, 16379), (25201, 26379))
    ours = [f"-p127.0.0.1:{host}:{guest}" for host, guest in zip(ports[0], (IPERF, REDIS))]
    theirs = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in zip(ports[1], (IPERF, REDIS)))
    return (Vmm("torpor", *torpor(home, ["--net", "user", *ours]), "127.0.0.1", *ports[0]),
            Vmm("qemu", *qemu(["-netdev", "user,id=n" + theirs]), "127.0.0.1", *ports[1]))


NETS = {"user": start_user}


def measure(kind, rounds):
    home = tempfile.mkdtemp()
    vmms = NETS[kind](home)
    figures = [[], []]
    try:
        for vmm in vmms:
            vmm.await_ready()
            vmm.signal(signal.SIGSTOP)
        for _ in range(rounds):
            for vmm, slot in zip(vmms, figures):
                vmm.signal(signal.SIGCONT)
                time.sleep(1)  # the guest catches up with its timers
                slot.append(vmm.round())
                vmm.signal(signal.SIGSTOP)
    finally:
        for vmm in vmms:
            vmm.child.kill()
            vmm.child.wait()
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps([{key: statistics.median(f[key] for f in slot) for key in slot[0]} for slot in figures]))


def run_measure(kind, rounds):
    """Here, or in the lab."""
    subprocess.run([os.path.join(ROOT, "images/web/build")], check=True, stdout=subprocess.DEVNULL)
    os.makedirs(os.path.dirname(TORPOR), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "build/torpor"), TORPOR)
    command = [os.path.abspath(__file__), kind, str(rounds)]
    where = subprocess.run([os.path.join(ROOT, "tests/lab/have-kvm")], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.strip()
    if where != "kvm":
        command = [os.path.join(ROOT, "tests/lab/lab"), "--timeout", "900", "--", *command]
    out = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout.splitlines()[-1]) if out.returncode == 0 else None


def bench_net(_):
    for kind in NETS:
        figures = run_measure(kind, 3)
        if figures is None:
            row(f"--net {kind}", "failed", target="≥ 1×", met=False)
            continue
        ours, qemu_s = figures
        for key, what, scale, unit in (("in", "TCP to the guest", 1e-6, "Mbit/s"),
                                       ("out", "TCP from the guest", 1e-6, "Mbit/s"),
                                       ("rr", "requests of 64 bytes", 1, "/s")):
            row(f"--net {kind}: {what}", f"{ours[key] * scale:.0f} {unit}",
                f"QEMU {qemu_s[key] * scale:.0f} {unit}", f"{ours[key] / qemu_s[key]:.2f}×", "≥ 1×",
                ours[key] >= qemu_s[key])
            each = "a request" if key == "rr" else f"for {SEGMENT} bytes"
            row(f"--net {kind}: CPU time of the VMM {each}, {what}", f"{ours[key + '_cpu']:.2f} µs",
                f"QEMU {qemu_s[key + '_cpu']:.2f} µs", f"{ours[key + '_cpu'] / max(qemu_s[key + '_cpu'], 0.01):.2f}×")


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
