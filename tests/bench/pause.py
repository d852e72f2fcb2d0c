"""Rows about saving a machine that goes on: how long it stands still, and what its guest does meanwhile."""
import json
import statistics
import subprocess
import threading
import time

from bench import BIN, TINY, Control, row
from packed import make_disk

DISK_MIB = 21
LOADS = 11  # of 20 MiB: 220 MiB of data
ROUNDS = 7


def start(home, name, mib, disk, sparse):
    """A machine with 220 MiB of data, and a disk of so many GiB that nobody has written to."""
    big = home.file(name + ".img")
    with open(big, "wb") as file:
        file.truncate(sparse << 30)
    home.run("run", "-d", "--name", name, "--kernel", TINY, "-m", f"{mib}M", "--disk", disk + ",ro", "--disk", big)
    home.wait_for(name, "READY")
    machine = Control(home, name)
    machine.type(*(f"dload 0 {37 * i} {16 + 20 * i} 20" for i in range(LOADS)))
    return machine


def count(machine):
    return int(machine.type("count").split()[1])


def saved(home, name, *more):
    """Milliseconds that the machine stood still."""
    target = home.file("pause.torpor")
    return json.loads(home.run("save", name, "--json", "--full", "--level", "3", "-o", target, *more))["seconds"] * 1e3


def speed_while_saved(home, machine, name):
    """Turns of the guest's loop a second, alone and while it is saved."""
    began, before = time.monotonic(), count(machine)
    time.sleep(1)
    alone = (count(machine) - before) / (time.monotonic() - began)
    saver = threading.Thread(target=saved, args=(home, name, "-R"))
    began, before = time.monotonic(), count(machine)
    saver.start()
    saver.join()
    return (count(machine) - before) / (time.monotonic() - began) / alone


def writes(machine, going_on):
    """Times a second that the guest writes 32 of its MiB of data, as long as it is to go on."""
    began, n = time.monotonic(), 0
    while n == 0 or going_on():
        machine.type(f"fill 16 32 {n % 200}")
        n += 1
    return n / (time.monotonic() - began)


def writing_speed_while_saved(home, machine, name):
    end = time.monotonic() + 1
    alone = writes(machine, lambda: time.monotonic() < end)
    saver = threading.Thread(target=saved, args=(home, name, "-R"))
    saver.start()
    meanwhile = writes(machine, saver.is_alive)
    saver.join()
    return meanwhile / alone


def bench_pause(home):
    disk = home.file("data.img")
    make_disk(disk)
    machine = start(home, "pause", 1024, disk, 1)
    saved(home, "pause", "-R")  # libraries are loaded, the log is on
    behind = statistics.median(saved(home, "pause", "-R") for _ in range(ROUNDS))
    speed = statistics.median(speed_while_saved(home, machine, "pause") for _ in range(ROUNDS))
    writer = statistics.median(writing_speed_while_saved(home, machine, "pause") for _ in range(ROUNDS))
    first = start(home, "first", 1024, disk, 1)
    cold = saved(home, "first", "-R")
    del first
    home.run("kill", "first")
    large = start(home, "large", 8192, disk, 64)
    saved(home, "large", "-R")
    wide = statistics.median(saved(home, "large", "-R") for _ in range(ROUNDS))
    del large
    home.run("kill", "large")
    paused = saved(home, "pause")
    floor = statistics.median(float(ms) for ms in subprocess.run(
        [f"{BIN}/forkpause", "1024", "220", str(ROUNDS)], check=True, text=True, stdout=subprocess.PIPE).stdout.split())
    row("pause of save -R, 1 GiB with 220 MiB of data", f"{behind:.2f} ms", f"a paused save {paused:.0f} ms",
        f"{behind / paused:.4f}×", "≤ 10 ms", behind <= 10)
    row("  beside a fork alone", f"{behind:.2f} ms", f"fork {floor:.2f} ms", f"{behind - floor:+.2f} ms")
    row("  of the first one", f"{cold:.2f} ms")
    row("  with 8 GiB of RAM and a disk of 64 GiB", f"{wide:.2f} ms", f"1 GiB and 1 GiB {behind:.2f} ms",
        f"{wide - behind:+.2f} ms", "≤ +2 ms", wide - behind <= 2)
    row("  the guest's speed while it is saved", f"{speed:.2f}", target="≥ 0.7", met=speed >= 0.7)
    row("  that of one that writes all the time", f"{writer:.2f}", target="≥ 0.7", met=writer >= 0.7)
