"""How a file of scenarios reports. A scenario is a function of the hosts: it calls ok() for each
claim, and a Failure ends it, not the suite.

    if __name__ == "__main__":
        sys.exit(suite.main([first, second], hosts=2))

Such a file plays all its scenarios, or those its arguments name; --list names them. With `joined` that is one name
for all of them, which share a lab.
"""

import os
import platform
import sys
import time
import traceback

import guest as lab


def image(name):
    """The folder of a guest for hosts of this architecture."""
    return os.path.join(lab.REPOSITORY, "build/images", name + ("-arm64" if platform.machine() == "aarch64" else ""))


IMAGE = image("debian")
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1"
# Options for a guest of images/debian.
DEBIAN = ["--kernel", f"{IMAGE}/vmlinuz", "--initrd", f"{IMAGE}/initrd.img", "--append", APPEND]
DISK = ["--disk", f"{IMAGE}/disk.img"]

INCOMPATIBLE = 120  # exit status when a host cannot run an appliance

results = []


def ok(name, holds, detail=""):
    """One claim, one line."""
    results.append(bool(holds))
    print(f"{'ok' if holds else 'not ok'} - {name}", flush=True)
    if not holds:
        for line in str(detail).splitlines():
            print(f"# {line}", flush=True)


def skip(name, reason):
    print(f"skip - {name} # {reason}", flush=True)


def note(text):
    print(f"# {text}", flush=True)


def main(scenarios, hosts, joined=None):
    if sys.argv[1:] == ["--list"]:
        print(joined or "\n".join(scenario.__name__ for scenario in scenarios))
        return 0
    chosen = [s for s in scenarios if sys.argv[1:] in ([], [joined]) or s.__name__ in sys.argv[1:]]
    return play(chosen, lab.hosts(hosts)) if chosen else 2


def play(scenarios, hosts):
    """Run them all. Returns the exit status."""
    try:
        for scenario in scenarios:
            start = time.monotonic()
            try:
                scenario(*hosts)
            except lab.Failure as failure:
                ok(f"{scenario.__name__} reaches its end", False, failure)
            except Exception:  # a mistake in a scenario; the others still count
                ok(f"{scenario.__name__} reaches its end", False, traceback.format_exc())
            for host in hosts:
                host.end_all()
            note(f"{scenario.__name__}: {time.monotonic() - start:.0f} s")
    finally:
        lab.close(hosts)
    return 0 if all(results) else 1
