"""Rows about a folder of the host in a guest, beside QEMU's own server of 9p (sharesguests.py), in one lab."""
import os
import statistics
import subprocess

import bench
from bench import ROOT, row

NAMES = {"small": "400 files of 2 KB are read", "list": "400 files are listed with their attributes",
         "make": "200 files are written and removed", "read": "32 MiB are read, 1 MiB at a time",
         "direct": "32 MiB are read past the guest's cache, 1 MiB at a time",
         "read4k": "8 MiB are read, 4 KiB at a time"}
WITH_TARGET = ("small", "read", "read4k")


def bench_share(_):
    subprocess.run([os.path.join(ROOT, "images/debian/build-folders")], check=True, stdout=subprocess.DEVNULL)
    figures = bench.in_the_lab("sharesguests.py", "torpor-share")
    if not figures:
        row("folders of the host", "failed", target="≥ 1× QEMU's 9p", met=False)
    for name, of in figures.items():
        ours, plain, loose = (statistics.median(of[who]) for who in ("torpor", "plain", "loose"))
        target = ("≥ 1×", ours <= plain) if name in WITH_TARGET else ()
        row(f"-v: {NAMES[name]} (lab)", f"{ours * 1000:.0f} ms", f"QEMU 9p {plain * 1000:.0f} ms", f"{plain / ours:.2f}×", *target)
        row("  cache=loose", f"{ours * 1000:.0f} ms", f"{loose * 1000:.0f} ms", f"{loose / ours:.2f}×")
