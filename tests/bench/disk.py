"""Rows about disks: requests of the tiny kernel, beside the same kernel on the same file in QEMU with io_uring."""
import os
import statistics
import subprocess

from bench import TINY, Control, row

MIB = 64
ROUNDS = 7
KINDS = ("read", "written", "read", "written")  # of dbench: 0 and 1 in random order, 2 and 3 one behind the other
CASES = [(kind, 4096, depth, 4000) for depth in (1, 32) for kind in (0, 1)] + \
        [(kind, 1 << 20, depth, 128) for depth in (1, 32) for kind in (2, 3)]
MODES = (("through the page cache", "rw", "writeback"), ("past it", "rw,direct", "none"))


class Ours:
    def __init__(self, home, file, mode):
        self.home = home
        home.run("run", "-d", "--name", "disk", "--kernel", TINY, "-m", "128M", "--disk", f"{file},{mode}")
        home.wait_for("disk", "READY")
        self.control = Control(home, "disk")

    def type(self, line):
        return self.control.type(line)

    def seconds(self):
        """CPU time of all threads but those that run the guest, which polls."""
        return self.control.ask(do="stats")["cpu"]["vmm"]

    def end(self):
        self.home.run("kill", "disk")


class Qemu:
    def __init__(self, _home, file, cache):
        self.child = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "kvm", "-cpu", "qemu64", "-m", "128", "-name",
             "disk,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel",
             TINY, "-append", "mmio=0xfeb00000,0x200,24", "-global", "virtio-mmio.force-legacy=false", "-object",
             "iothread,id=t", "-drive", f"file={file},format=raw,id=d,if=none,cache={cache},aio=io_uring", "-device",
             "virtio-blk-device,drive=d,iothread=t"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.answer("READY")

    def answer(self, word):
        for line in self.child.stdout:
            if line.startswith(word):
                return line
        raise SystemExit(f"bench: QEMU ended without {word}")

    def type(self, line):
        self.child.stdin.write(line + "\n")
        return self.answer(line.split()[0])

    def seconds(self):
        ticks = 0
        for task in os.listdir(f"/proc/{self.child.pid}/task"):
            name, _, rest = open(f"/proc/{self.child.pid}/task/{task}/stat").read().partition("(")[2].rpartition(")")
            if not name.startswith("CPU "):
                ticks += sum(int(value) for value in rest.split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.child.kill()
        self.child.wait()


def measure(machine, case, seed):
    """Time and CPU time of a request; the first in ticks, of which only ratios mean something. The guest's buffers
    have been written to before: a page of the host costs more than a request."""
    kind, size, depth, count = case
    machine.type(f"dbench 0 {kind} {size} {depth} {2 * depth} {seed}")
    before = machine.seconds()
    answer = machine.type(f"dbench 0 {kind} {size} {depth} {count} {seed}").split()[1]
    if not answer.isdigit():
        raise SystemExit(f"bench: dbench {case}: {answer}")
    return int(answer) / count, (machine.seconds() - before) / count


def bench_disk(home):
    file = home.file("bench.img")
    for title, ours, theirs in MODES:
        with open(file, "wb") as image:
            for _ in range(MIB):
                image.write(os.urandom(1 << 20))
            os.fsync(image.fileno())
        took = {}
        for seed in range(ROUNDS + 1):
            for who, mode in ((Ours, ours), (Qemu, theirs)):
                machine = who(home, file, mode)
                for case in CASES:
                    took.setdefault((who, case), []).append(measure(machine, case, seed + 1))
                machine.end()
        for case in CASES:
            kind, size, depth, _ = case
            mine, other = took[Ours, case][1:], took[Qemu, case][1:]
            speed = statistics.median(b[0] / a[0] for a, b in zip(mine, other))
            cpu, cpu_other = (statistics.fmean(value[1] for value in values) * 1e6 for values in (mine, other))
            row(f"{size >> 10} KiB {KINDS[kind]}, {'random' if kind < 2 else 'sequential'}, depth {depth}, {title}",
                f"CPU {cpu:.1f} µs", f"QEMU, io_uring: CPU {cpu_other:.1f} µs", f"{speed:.2f}× as fast", "≥ 1.0×",
                speed >= 1.0)
