"""Rows about a real guest, images/debian, on this host or in the lab."""
import os
import shutil
import subprocess
import tempfile

from bench import BUILD, ROOT, row

IMAGE = os.path.join(BUILD, "images/debian")


def bench_boot(_):
    """Booting to its service, against QEMU microvm on the same host."""
    out = subprocess.run([os.path.join(ROOT, "tests/bench/boot"), "3"], text=True, stdout=subprocess.PIPE)
    if out.returncode != 0:
        row("boot Debian to userland", "failed", target="≤ QEMU microvm", met=False)
        return
    ours, qemu = (float(v) for v in out.stdout.split()[-2:])
    row("boot Debian to userland", f"{ours:.1f} s", f"QEMU microvm {qemu:.1f} s", f"{ours / qemu:.2f}×",
        "≤ 1×", ours <= qemu)


def megabytes(size):
    return f"{size / 1e6:.1f} MB"


def zstd_19(home, path):
    """What the usual way makes of the same memory: all of it in one raw file, packed as well as zstd can."""
    raw = home.file("memory.0.raw")
    home.run("extract", "-o", raw, path, "memory.0")
    packed = subprocess.run(["zstd", "-19", "--long", "-T0", "-q", "-c", raw], check=True, stdout=subprocess.PIPE)
    os.unlink(raw)
    return len(packed.stdout)


def rows_of_file(home, how, path, raw=None):
    """Its size, beside the memory of the machine in `raw`."""
    size = os.path.getsize(path)
    other = f"zstd -19 --long of its raw memory {megabytes(zstd_19(home, raw))}" if raw else ""
    row(f"Debian of 128 MiB with its disk: {how}", megabytes(size), other, "", "≤ 20 MB", size <= 20e6)


def bench_small(home):
    """The files of a Debian that has booted, trimmed or not, and of one that never ran, with their disk."""
    out = tempfile.mkdtemp(prefix="torpor-bench.", dir="/var/tmp")
    try:
        save = subprocess.run([os.path.join(ROOT, "tests/bench/small"), out])
        cold = os.path.join(out, "cold.torpor")
        home.run("build", "-o", cold, "-m", "128M", "--kernel", f"{IMAGE}/vmlinuz", "--initrd",
                 f"{IMAGE}/initrd.img", "--disk", f"{IMAGE}/disk.img", "--append", "console=ttyS0")
        if save.returncode != 0:
            row("Debian of 128 MiB with its disk, live", "failed", target="≤ 20 MB", met=False)
            return
        live, trimmed = (os.path.join(out, name) for name in ("live.torpor", "trimmed.torpor"))
        rows_of_file(home, "awake, saved with --trim", trimmed, trimmed)
        tightest = home.file("tightest.torpor")
        home.run("convert", "--packed=19", trimmed, tightest)
        rows_of_file(home, "the same, repacked with level 19", tightest, live)
        rows_of_file(home, "never booted", cold)
    finally:
        shutil.rmtree(out, ignore_errors=True)
