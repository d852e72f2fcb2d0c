"""Rows about the network, beside QEMU's same back end: TCP by iperf3, requests of 64 bytes one after the other, the CPU
time that the VMM (for a LAN: both, and the switch) takes for them outside of the guests; and how soon a guest that
woke answers. netguests.py measures them, in one lab."""
import os
import statistics
import subprocess

import bench
from bench import ROOT, row
from netguests import KINDS, SEGMENT

WHAT = {
    "in": ("TCP to the guest", 1e-6, "Mbit/s"),
    "out": ("TCP from the guest", 1e-6, "Mbit/s"),
    "rr": ("requests of 64 bytes", 1, "/s"),
}
QEMU_S = {"user": "QEMU", "tap": "QEMU", "lan": "QEMU stream"}


def rows_of(kind, figures):
    """The ratio is taken round by round: the machine's speed drifts."""
    for key, rounds in figures.items():
        what, scale, unit = WHAT[key]
        (ours, cpu), (theirs, cpu_s) = (map(statistics.median, zip(*vmm)) for vmm in zip(*rounds))
        ratio = statistics.median(a / b for (a, _), (b, _) in rounds)
        row(f"--net {kind}: {what}", f"{ours * scale:.0f} {unit}", f"{QEMU_S[kind]} {theirs * scale:.0f} {unit}",
            f"{ratio:.2f}×", "≥ 1×", ratio >= 1)
        each = "a request" if key == "rr" else f"for {SEGMENT} bytes"
        row(f"  CPU time of the VMM {each}", f"{cpu:.1f} µs", f"{cpu_s:.1f} µs", f"{cpu / max(cpu_s, 0.01):.2f}×")


def bench_net(_):
    subprocess.run([os.path.join(ROOT, "images/web/build")], check=True, stdout=subprocess.DEVNULL)
    figures = bench.in_the_lab("netguests.py", "torpor-net")
    for kind in KINDS:
        if "error" in figures.get(kind, {"error": ""}):
            row(f"--net {kind}", "failed", target="≥ 1×", met=False)
        else:
            rows_of(kind, figures[kind])
    if "wake" not in figures:
        row("wake to the first HTTP answer", "failed", met=False)
        return
    http, first = figures["wake"]["http"], figures["wake"]["first"]
    row("wake to the first HTTP answer through a published port (lab)", f"{http:.1f} ms",
        f"flat resume to first exit {first:.1f} ms", f"{http - first:+.1f} ms")
