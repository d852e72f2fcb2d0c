#!/usr/bin/env python3
"""Measures what cases.py's row tells, with images/debian on one host, here or in the lab. Prints JSON:
  "boot"    milliseconds of a case that boots its machine: from `torpor run` until the case's command has ended
  "golden"  milliseconds of `torpor test` for CASES cases from one golden, its machine's start and end included

    casesguests.py TORPOR
"""
import json
import os
import subprocess
import sys
import time

import guest_figures
from execguests import BOX, PATIENCE, Torpor

CASES = 20
BOOTS = 3
CASE = "  $ busybox true\n"


def boot_ms(torpor, home):
    """Its wait for the agent ends with the command's status."""
    start = time.monotonic()
    machine = Torpor(torpor, home)
    machine.call("exec", "e", "--", "sh", "-c", f"{BOX} true")
    elapsed = time.monotonic() - start
    machine.end()
    return elapsed * 1000


def golden_ms(torpor, home):
    golden, case = os.path.join(home, "golden.torpor"), os.path.join(home, "case.t")
    machine = Torpor(torpor, home)
    machine.call("save", "e", "-o", golden)
    with open(case, "w", encoding="ascii") as file:
        file.write(CASE)
    start = time.monotonic()
    said = subprocess.run([torpor, "test", "--from", golden, "--repeat", str(CASES), "--json", case], env=machine.env,
                          check=True, timeout=PATIENCE, stdout=subprocess.PIPE).stdout
    elapsed = time.monotonic() - start
    tests = json.loads(said)["tests"]
    print("cases:", *(f"{(t['end-ns'] - t['start-ns']) / 1e6:.0f}" for t in tests), "ms", file=sys.stderr, flush=True)
    assert len(tests) == CASES
    return elapsed * 1000


def measure(torpor, home):
    return {"boot": [boot_ms(torpor, home) for _ in range(BOOTS)], "golden": golden_ms(torpor, home)}


if __name__ == "__main__":
    guest_figures.main(measure)
