"""Rows about commands in a guest and files out of it and into it, beside what the stock agent and a console port give by
themselves (execguests.py), and about tests that begin with a golden, beside tests that boot (casesguests.py). Each in one
lab."""
import statistics

import bench
from bench import row


def bench_exec(_):
    figures = bench.in_the_lab("execguests.py", "torpor-exec")
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


def bench_cases(_):
    figures = bench.in_the_lab("casesguests.py", "torpor-cases")
    if "golden" not in figures:
        row("cases from a golden", "failed", met=False)
        return
    boot, whole = statistics.median(figures["boot"]), figures["golden"]
    row("20 cases from a golden, a case (lab)", f"{whole / 20:.0f} ms", f"booting for it {boot:.0f} ms",
        f"{20 * boot / whole:.1f}× faster", "≥ 20×", 20 * boot >= 20 * whole)
