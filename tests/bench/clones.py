"""Rows about many machines from one file: how long they take to run, and what memory is theirs alone."""
import os
import statistics
import subprocess
import sys
import time

from bench import BIN, TINY, TORPOR, Control, first_exit, row

CLONES, CROWD = 100, 1000
MIB = 256
ROUNDS = 3


def make_halted(home):
    """A flat file of a guest that has halted. The tiny kernel polls: a hundred of it would measure how the host
    shares its processors, not how clones start."""
    path = home.file("clones.torpor")
    home.run("run", "-d", "--name", "seed", "--kernel", TINY, "-m", f"{MIB}M")
    home.wait_for("seed", "READY")
    Control(home, "seed").type("halt", answers=False)
    home.run("save", "seed", "--flat", "-o", path)
    return path


def clone(home, path, count):
    """Milliseconds until that many run; their names."""
    start = time.monotonic()
    names = home.run("clone", "-c", str(count), "-n", "clone", "--net", "none", path).split()
    took = (time.monotonic() - start) * 1e3
    if len(names) != count:
        sys.exit(f"bench: {len(names)} of {count} clones")
    return took, names


def private_kib(home, name):
    """What would be free if the machine ended, its guest's RAM included."""
    with open(os.path.join(home.env["XDG_RUNTIME_DIR"], "torpor", name, "pid")) as f:
        pid = int(f.read())
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


def end(home, names):
    subprocess.run([TORPOR, "kill", *names], env=home.env, check=True)


def bench_clones(home):
    path = make_halted(home)
    floor = [f"{BIN}/floor", str(MIB), "no-slots"]
    took, floors = [], []
    for i in range(ROUNDS + 1):
        ms, names = clone(home, path, CLONES)
        private = max(private_kib(home, name) for name in names)
        end(home, names)
        if i > 0:
            took.append(ms)
            floors.append(sum(first_exit(floor, home.env) for _ in range(CLONES)))
    ratio = statistics.median(a / b for a, b in zip(took, floors))
    row(f"{CLONES} clones of a flat file of {MIB} MiB, until all run", f"{statistics.median(took):.0f} ms",
        f"{CLONES} × floor without its memory slot {statistics.median(floors):.0f} ms", f"{ratio:.2f}×", "≤ 1×", ratio <= 1)
    row("  private memory of each before it writes, guest and VMM", f"{private} KiB", target="≤ 1024 KiB",
        met=private <= 1024)
    bench_crowd(home, path)


def bench_crowd(home, path):
    """Without a target: a thousand on one host, all there at once."""
    ms, names = clone(home, path, CROWD)
    start = time.monotonic()
    for name in names:
        Control(home, name).ask(do="status")
    answered = (time.monotonic() - start) * 1e3
    private = sum(private_kib(home, name) for name in names) / 1024
    end(home, names)
    row(f"{CROWD} clones of it, until all run", f"{ms / 1e3:.1f} s")
    row("  until each has answered a question besides", f"{answered / 1e3:.1f} s")
    row("  private memory of all", f"{private:.0f} MiB")
