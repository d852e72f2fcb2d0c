"""Rows about packed files: packing, waking, what they carry besides data, increments, paging.

The guest has 1 GiB, of which 220 MiB hold data: programs and libraries of this system, read from a
disk of 21 MiB at ever other offsets, so that no two frames are the same. It is saved with a question
in its serial port, and answers it when it wakes, from 8 MiB of its memory.
"""
import ctypes
import json
import os
import select
import statistics
import struct
import subprocess
import sys
import tarfile
import time

from bench import BIN, TINY, TORPOR, Control, row

DISK_MIB = 21
LOADS = 11  # of 20 MiB
FIRST_MIB = 16
QUESTION, ANSWER = "memsum 20 8", b"memsum "
FRAME = 65536
ROUNDS = 5
FILL_NICE = 10  # what the background fill runs at, so that its floor competes on the same terms

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, CAP_SYS_PTRACE = 24, 19


def make_disk(path):
    """Real data: the programs of this system as a tar, from the start."""
    with open(path, "wb") as disk:
        tar = subprocess.Popen(["tar", "--sort=name", "-C", "/usr", "-c", "bin"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        disk.write(tar.stdout.read(DISK_MIB << 20).ljust(DISK_MIB << 20, b"\xa5"))
        tar.kill()
        tar.wait()


def start_machine(home):
    disk = home.file("data.img")
    make_disk(disk)
    home.run("run", "-d", "--name", "packed", "--kernel", TINY, "-m", "1024M", "--disk", disk + ",ro")
    home.wait_for("packed", "READY")
    machine = Control(home, "packed")
    machine.type(*(f"dload 0 {37 * i} {FIRST_MIB + 20 * i} 20" for i in range(LOADS)))
    return machine


def loop(what, *files, nice=0):
    out = subprocess.run(["nice", "-n", str(nice), f"{BIN}/packloop", what, *files], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return [float(v) for v in out.split()]


def seconds_paused(home, machine, target):
    """torpor save: how long the machine stood still."""
    name = os.path.basename(os.path.dirname(machine.path))
    return json.loads(home.run("save", "-R", "--json", "--full", "--level", "3", "-o", target, name))["seconds"]


def bench_pack(home, machine):
    """Saving with level 3, against a loop that packs the same frames and writes nothing."""
    target = home.file("pack.torpor")
    paused, mine, theirs = [], [], []
    contents = None
    for _ in range(ROUNDS):
        start = time.monotonic()
        paused.append(seconds_paused(home, machine, target))
        mine.append((time.monotonic() - start) * 1e3)
        if contents is None:
            home.run("extract", "-C", home.path, target, "memory.0", "disk.0")
            contents = [home.file("memory.0.raw"), home.file("disk.0.raw")]
        theirs.append(loop("pack", *contents)[0])
    ratio = statistics.median(b / a for a, b in zip(mine, theirs))
    row("pack 1 GiB with 220 MiB of data and a disk of 21 MiB", f"{statistics.median(mine):.0f} ms",
        f"zstd -3 + SHA-256 loop {statistics.median(theirs):.0f} ms", f"{ratio:.2f}×", "≥ 0.9×", ratio >= 0.9)
    row("  of that the guest stands still", f"{statistics.median(paused) * 1e3:.0f} ms")


def make_files(home, machine):
    """The same machine packed, warmed and flat. The question waits in its serial port."""
    files = {name: home.file(name + ".torpor") for name in ("packed", "warm", "flat")}
    machine.ask(do="pause")
    machine.type(QUESTION, answers=False)
    home.run("save", "packed", "--full", "-o", files["packed"])
    home.run("convert", "--flat", files["packed"], files["flat"])
    home.run("warm", files["packed"], "--until", ANSWER.decode(), "-o", files["warm"], stderr=subprocess.DEVNULL)
    return files


def without_userfaultfd():
    """In the child before exec: a host that has no /dev/userfaultfd, and a user without its right."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
            or libc.prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0)):
        raise OSError(ctypes.get_errno(), "cannot take userfaultfd away")
    libc.mount(b"/dev/null", b"/dev/userfaultfd", None, MS_BIND, None)


def first_answer(home, path, prepare, told):
    """Milliseconds from the start of `resume` to the guest's answer; its messages say how it woke. `path` may be a
    list, with options behind it."""
    path = [path] if isinstance(path, str) else path
    start = time.monotonic()
    child = subprocess.Popen([TORPOR, "resume", *path, "--name", "answer"], env=home.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare)
    seen = b""
    while ANSWER not in seen:
        ready, _, _ = select.select([child.stdout], [], [], 120)
        more = os.read(child.stdout.fileno(), 4096) if ready else b""
        if not more:
            child.kill()
            sys.exit(f"bench: no answer after resume {path}: {child.stderr.read().decode()[-300:]}")
        seen += more
    ms = (time.monotonic() - start) * 1e3
    child.kill()
    messages = child.communicate()[1].decode()
    if ("userfaultfd" in messages) != told:
        sys.exit(f"bench: resume {path} woke in another way than this row is about: {messages}")
    return ms


def bench_answer(home, files):
    ways = ((files["warm"], lambda: None, False), (files["flat"], lambda: None, False),
            (files["packed"], without_userfaultfd, True))
    times = [[first_answer(home, *way) for way in ways] for _ in range(4 * ROUNDS)][1:]
    warm, flat, whole = (statistics.median(t) for t in zip(*times))
    to_flat = statistics.median(t[0] / t[1] for t in times)
    to_whole = statistics.median(t[0] / t[2] for t in times)
    row("resume to first answer, packed, hot set warmed", f"{warm:.1f} ms", f"flat {flat:.1f} ms", f"{to_flat:.2f}×",
        "≤ 1.5×", to_flat <= 1.5)
    row("  against decoding everything first", f"{warm:.1f} ms", f"full decode {whole:.1f} ms", f"{to_whole:.2f}×",
        "≤ 0.3×", to_whole <= 0.3)


def seek_table_bytes(tar, member):
    """The last 9 bytes of a packed part: the number of frames, the descriptor, the magic."""
    tar.fileobj.seek(member.offset_data + member.size - 9)
    frames, descriptor, magic = struct.unpack("<IBI", tar.fileobj.read(9))
    assert magic == 0x8F92EAB1
    return 8 + frames * (12 if descriptor & 0x80 else 8) + 9


def bench_metadata(home, files):
    """Everything in the file but packed frames, kernel and state: headers, maps, hashes, seek tables."""
    content = filler = 0
    with tarfile.open(files["packed"]) as tar:
        roles = {os.path.basename(m.linkname): m.name for m in tar if m.issym()}
        for m in tar:
            role = roles.get(os.path.basename(m.name), "")
            if m.name.startswith(".align/"):
                filler += m.size
            elif role in ("kernel", "state"):
                content += m.size
            elif role.rpartition(".")[2].isdigit():
                content += m.size - seek_table_bytes(tar, m)
    size = os.path.getsize(files["packed"]) - content - filler
    frames = frames_of(home, files["packed"])
    used = sum(f["data"] for f in frames.values()) * FRAME
    flat = sum(sum(f.values()) for f in frames.values()) * FRAME
    row("index and metadata of that file", f"{size / 1024:.0f} KiB", f"used, flat: {used >> 20} MiB",
        f"{100 * size / used:.3f} %", "≤ 0.1 %", size <= used / 1000)
    row("  with the filler that aligns, of all RAM and disk", f"{(size + filler) / 1024:.0f} KiB",
        f"flat: {flat >> 20} MiB", f"{100 * (size + filler) / flat:.3f} %")


def frames_of(home, path):
    """Counts of frames by kind, of each image."""
    contents = json.loads(home.run("ls", "--json", path))["contents"]
    return {c["role"]: c["frames"] for c in contents if "frames" in c}


def bench_increment(home, files):
    """A machine that woke and read 2 MiB from its disk."""
    target = home.file("increment.torpor")
    home.run("resume", files["packed"], "-d", "--name", "increment")
    home.wait_for("increment", ANSWER.decode())
    Control(home, "increment").type(f"dload 0 1001 60 1", "dload 0 5003 160 1")
    home.run("save", "increment", "--parent", files["packed"], "-o", target)
    changed = frames_of(home, target)["memory.0"]["data"]
    used = frames_of(home, files["packed"])["memory.0"]["data"]
    mine, full = os.path.getsize(target), os.path.getsize(files["packed"])
    row(f"increment, {changed} of {used} frames ({100 * changed / used:.1f} %) changed", f"{mine / 1024:.0f} KiB",
        f"full file {full / 1024:.0f} KiB", f"{100 * mine / full:.2f} %", "≤ 2 %", mine <= full / 50)


def paging(machine):
    return machine.ask(do="stats")["paging"]


def fill_ms(home, path):
    """From the request to the last frame, with the guest standing still."""
    home.run("resume", path, "-d", "--name", "fill", "--paused", "--fill", "none")
    machine = Control(home, "fill")
    before = paging(machine)
    start = time.monotonic()
    machine.ask(do="fill", fill="full")
    while True:
        now = paging(machine)
        if now["present"] == now["frames"]:
            break
        time.sleep(0.003)
    ms = (time.monotonic() - start) * 1e3
    home.run("kill", "fill")
    return ms, now["frames"] - before["present"]


def longest_wait_ns(home, path):
    """Of a guest that walks backwards through all its memory while the background comes towards it."""
    home.run("resume", path, "-d", "--name", "wait", "--fill", "none")
    home.wait_for("wait", ANSWER.decode())
    machine = Control(home, "wait")
    console = Control(home, "wait")
    machine.ask(do="fill", fill="full")
    console.type(*(f"memsum {mib} 20" for mib in (200, 160, 120)))
    stats = paging(machine)
    home.run("kill", "wait")
    return stats["fault-ns-max"], stats["faults"]


def bench_paging(home, files):
    memory = home.file("memory.0.raw")
    mine, theirs, there, waits, frame_ns, frame_longest, faults = ([] for _ in range(7))
    for _ in range(ROUNDS):
        ms, frames = fill_ms(home, files["packed"])
        new, floor_frames, again, _, _ = loop("unpack", memory, nice=FILL_NICE)
        mine.append(ms / frames)
        theirs.append(new / floor_frames)
        there.append(again / floor_frames)
        *_, ns, longest_ns = loop("unpack", memory)
        frame_ns.append(ns)
        frame_longest.append(longest_ns)
        wait, count = longest_wait_ns(home, files["packed"])
        waits.append(wait)
        faults.append(count)
    ratio = statistics.median(b / a for a, b in zip(mine, theirs))
    row("background fill, a frame", f"{statistics.median(mine) * 1e3:.0f} µs",
        f"unpack + SHA-256 loop {statistics.median(theirs) * 1e3:.0f} µs "
        f"({statistics.median(there) * 1e3:.0f} into memory that is there)", f"{ratio:.2f}×", "≥ 0.9×", ratio >= 0.9)
    # The longest beside the longest: a machine that lets a bare loop wait in the middle of a frame lets the guest wait, too.
    longest = statistics.median(w / n for w, n in zip(waits, frame_longest))
    row(f"longest of some {statistics.median(faults):.0f} waits for a frame, while filling",
        f"{statistics.median(waits) / 1e3:.0f} µs", f"longest decode of a frame in a bare loop "
        f"{statistics.median(frame_longest) / 1e3:.0f} µs (usual {statistics.median(frame_ns) / 1e3:.0f})",
        f"{longest:.1f}×", "≤ 3×", longest <= 3)


def bench_packed(home):
    machine = start_machine(home)
    bench_pack(home, machine)
    files = make_files(home, machine)
    bench_metadata(home, files)
    bench_increment(home, files)
    bench_answer(home, files)
    bench_paging(home, files)
