"""Rows about resets in place: what one takes beside its own calls into KVM, and how many there can be in a second."""
import os
import statistics
import struct
import subprocess

from bench import BIN, TINY, TORPOR, Control, row

ROUNDS = 101
FIRST_ROUNDS = 9


class Golden:
    """A golden machine whose calls into KVM are timed. `before` is what its command begins with."""

    def __init__(self, home, path, net, before=()):
        self.home, self.name = home, f"golden-{net}"
        self.calls = open(home.file(f"kvm-calls-{net}"), "w+b")
        self.calls.write(bytes(8))
        self.calls.flush()
        env = dict(home.env, LD_PRELOAD=f"{BIN}/kvm_calls.so", KVM_CALLS_FILE=self.calls.name)
        subprocess.run([*before, TORPOR, "resume", "--golden", "-d", "--name", self.name, "--fill", "full", "--net", net,
                        path], env=env, check=True,
                       stdout=subprocess.DEVNULL)
        self.control = Control(home, self.name)

    def end(self):
        self.home.run("kill", self.name)

    def in_kvm(self):
        self.calls.seek(0)
        return struct.unpack("<q", self.calls.read(8))[0] / 1e3

    def reset(self):
        """Microseconds of a reset of a paused machine: its pages, all its other state, its calls into KVM, in all."""
        self.control.ask(do="pause")
        before = self.in_kvm()
        reply = self.control.ask(do="reset")
        calls = self.in_kvm() - before
        self.control.ask(do="unpause")
        return reply["memory"] * 1e6, reply["state"] * 1e6, calls, reply["seconds"] * 1e6

    def reset_running(self):
        """Microseconds from pause to start."""
        return self.control.ask(do="reset")["seconds"] * 1e6

    def measure(self, pages, reset):
        measured = []
        for i in range(ROUNDS + 1):
            self.control.type(f"touch 8 {pages} 1 {i}")
            measured.append(reset())
        return measured[1:]  # the first one reads frames of the file


def first_reset(home, path, before):
    """Milliseconds until the pages are back, and how many: each frame of the file is read, decoded and checked."""
    golden = Golden(home, path, "none", before)
    golden.control.type("fill 8 32 2")
    golden.control.ask(do="pause")
    reply = golden.control.ask(do="reset")
    golden.end()
    return reply["memory"] * 1e3, reply["pages"]


def bench_first_reset(home):
    """Beside the same on one core."""
    path, core = home.file("filled.torpor"), min(os.sched_getaffinity(0))
    home.run("run", "-d", "--name", "filled", "--kernel", TINY, "-m", "64M")
    home.wait_for("filled", "READY")
    Control(home, "filled").type("fill 8 32 1")
    home.run("save", "filled", "-o", path)
    rounds = [(first_reset(home, path, ()), first_reset(home, path, ("taskset", "-c", str(core)))) for _ in range(FIRST_ROUNDS)]
    assert all(pages >= 32 << 20 >> 12 for both in rounds for _, pages in both)
    ours, alone = (statistics.median(both[i][0] for both in rounds) for i in (0, 1))
    row(f"the first reset, 512 frames of a packed file, {len(os.sched_getaffinity(0))} cores", f"{ours:.1f} ms",
        f"one core {alone:.1f} ms", f"{ours / alone:.2f}×")


def bench_reset(home):
    path = home.file("golden.torpor")
    home.run("run", "-d", "--name", "seed", "--kernel", TINY, "-m", "64M")
    home.wait_for("seed", "READY")
    home.run("save", "seed", "-o", path)
    golden = Golden(home, path, "none")
    few, many = golden.measure(64, golden.reset), golden.measure(256, golden.reset_running)
    golden.end()
    pages, state, calls, whole = (statistics.median(column) for column in zip(*few))
    beyond = statistics.median(all - kvm for _, _, kvm, all in few)
    row("reset with 64 dirty pages, 64 MiB", f"{whole:.0f} µs", f"its calls into KVM {calls:.0f} µs", f"+{beyond:.0f} µs",
        "≤ 100 µs beyond them", beyond <= 100)
    row("  of that the pages", f"{pages:.0f} µs")
    row("  and the state", f"{state:.0f} µs")
    golden = Golden(home, path, "user")
    row("  with a user network, which begins anew", f"{statistics.median(all for *_, all in golden.measure(64, golden.reset)):.0f} µs")
    golden.end()
    rate = 1e6 / statistics.median(many)
    row("resets a second, 1 MiB dirtied, from pause to start", f"{rate:.0f}", target="≥ 1000", met=rate >= 1000)
    bench_first_reset(home)
