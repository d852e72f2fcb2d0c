"""Rows about commands in a guest and files out of it and into it, beside what the stock agent and a console port give by
themselves. execguests.py measures them, in one lab."""
import json
import os
import shutil
import statistics
import subprocess

from bench import ROOT, row

# Copied, so that a build going on beside does not change what is measured.
TORPOR = os.path.join(ROOT, "build/lab-bin/torpor-exec")


def measure():
    """Here, or in the lab; {} when it failed."""
    os.makedirs(os.path.dirname(TORPOR), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "build-release/torpor"), TORPOR)
    command = [os.path.join(ROOT, "tests/bench/execguests.py"), TORPOR]
    where = subprocess.run([os.path.join(ROOT, "tests/lab/have-kvm")], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.strip()
    if where != "kvm":
        command = [os.path.join(ROOT, "tests/lab/lab"), "--mem", "4096", "--timeout", "900", "--", *command]
    out = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False)
    return json.loads((out.stdout.splitlines() or ["{}"])[-1])


def bench_exec(_):
    figures = measure()
    if "port" not in figures:
        row("exec and cp", "failed", met=False)
        return
    # The first command of a machine brings the helper there.
    ours, agent = (statistics.median(figures[key][1:]) for key in ("exec", "agent"))
    row("exec `true` (lab)", f"{ours:.1f} ms", f"the agent's guest-exec and its end, QEMU {agent:.1f} ms",
        f"{ours / agent:.2f}×", "≤ 1.5×", ours <= 1.5 * agent)
    for key, what in (("out", "out of the guest"), ("in", "into the guest")):
        rate, raw = figures[key], figures["port"]
        row(f"cp {what} (lab)", f"{rate / 1e6:.2f} MB/s", f"a console port alone, QEMU {raw / 1e6:.2f} MB/s",
            f"{rate / raw:.2f}×", "≥ 0.5×", rate >= raw / 2)
