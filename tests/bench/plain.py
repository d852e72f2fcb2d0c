"""Rows about machines and flat files: waking, starting, memory, size, saving."""
import os
import re
import statistics
import subprocess
import sys
import time

from bench import BIN, TINY, TORPOR, in_turn, row


def resume_argv(path):
    return [TORPOR, "resume", path, "--name", "bench"]


def bench_wake(home):
    """Waking against the floor, and flat over RAM sizes. How tables of the kernel grow with RAM is seen only where its
    calls come in the same order."""
    sizes = (64, 256, 1024, 8192)
    files = {mib: home.make_live(f"w{mib}", mib) for mib in sizes}
    over = {}
    for mib in sizes:
        floor = [f"{BIN}/floor", str(mib)]
        (ours, usual, first), (more, same) = in_turn([resume_argv(files[mib]), floor, [*floor, "slots-first"]],
                                                     home.env)
        over[mib] = same
        row(f"resume to first exit, {mib} MiB", f"{ours:.2f} ms", f"floor {usual:.2f} ms",
            f"{more:+.2f} ms", "≤ floor + 1 ms", more <= 1.0)
        row("  the floor's calls in torpor's order", f"{ours:.2f} ms", f"{first:.2f} ms", f"{same:+.2f} ms")
    spread = over[sizes[-1]] - over[sizes[0]]
    row("resume, growth over its floor from 64 MiB to 8 GiB", f"{spread:+.2f} ms",
        target="flat: < 0.5 ms", met=spread < 0.5)


def bench_start(home):
    """Starting cold, against QEMU's microvm."""
    ours = [TORPOR, "run", "--rm", "--name", "bench", "--kernel", TINY, "-m", "256M", "--append", "bench"]
    qemu = ["qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "kvm", "-cpu", "qemu64", "-m", "256",
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "null", "-kernel", TINY,
            "-append", "bench"]
    (mine, theirs), _ = in_turn([ours, qemu], home.env, 9)
    row("start to first exit, 256 MiB", f"{mine:.2f} ms", f"QEMU microvm {theirs:.2f} ms",
        f"{mine / theirs:.2f}×", "≤ 0.33×", mine / theirs <= 1 / 3)


def private_kib(pid, ram_mib):
    """Private memory of a process without its guest's RAM: the run of adjacent mappings of that size."""
    maps, current = [], None
    for line in open(f"/proc/{pid}/smaps"):
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if m:
            current = [int(m[1], 16), int(m[2], 16), 0]
            maps.append(current)
        elif line.startswith("Private_"):
            current[2] += int(line.split()[1])
    for i, first in enumerate(maps):
        for last in range(i, len(maps)):
            if last > i and maps[last][0] != maps[last - 1][1]:
                break
            if maps[last][1] - first[0] == ram_mib << 20:
                return sum(m[2] for j, m in enumerate(maps) if not i <= j <= last)
    sys.exit("bench: the guest's RAM was not found among the mappings")


def bench_memory(home):
    path = home.make_live("mem", 256)
    home.run("resume", path, "-d", "--name", "memory")
    time.sleep(0.5)
    pid = int(open(os.path.join(home.env["XDG_RUNTIME_DIR"], "torpor/memory/pid")).read())
    kib = private_kib(pid, 256)
    home.run("kill", "memory")
    row("private memory of the VMM", f"{kib} KiB", target="≤ 2048 KiB", met=kib <= 2048)


def bench_size(home):
    stripped = os.path.join(home.path, "torpor.stripped")
    subprocess.run(["strip", "-o", stripped, TORPOR], check=True)
    size = os.path.getsize(stripped) / 1024
    row("stripped binary", f"{size:.0f} KiB")


def bench_save(home):
    """Saving a GiB of random pages, against one thread that hashes and writes the same."""
    ratios, mine, theirs = [], [], []
    home.run("run", "-d", "--name", "save", "--kernel", TINY, "-m", "1200M", "--append",
             "autocmd=rngfill_64_1024")
    home.wait_for(name="save", text="filled", seconds=120)
    for i in range(4):
        target = os.path.join(home.path, "save.torpor")
        start = time.monotonic()
        home.run("save", "save", "-R", "--flat", "-o", target)
        ours = (time.monotonic() - start) * 1e3
        os.unlink(target)
        floor = float(subprocess.run([f"{BIN}/hashwrite", "1024", target], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout)
        os.unlink(target)
        if i > 0:
            mine.append(ours)
            theirs.append(floor)
            ratios.append(floor / ours)
    home.run("kill", "save")
    ratio = statistics.median(ratios)
    row("save 1 GiB of random pages, flat", f"{statistics.median(mine):.0f} ms",
        f"SHA-256+write loop {statistics.median(theirs):.0f} ms", f"{ratio:.2f}×", "≥ 0.8×", ratio >= 0.8)
