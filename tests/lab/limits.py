"""Scenarios on one host: limits of a machine, measured; by files, as root without a systemd."""

import json
import os
import subprocess
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, ok

GROUPS = "/sys/fs/cgroup"
# CPU time that is measured over: what one of the kernel's ticks is off does not count then.
SECONDS = 5


def mount_groups():
    """And hand the controllers down, for a systemd in a group of its own."""
    if not os.path.exists(f"{GROUPS}/cgroup.controllers"):
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", GROUPS], check=True)
    with open(f"{GROUPS}/cgroup.subtree_control", "w", encoding="ascii") as file:
        file.write("+cpu +cpuset +memory +pids")


def stats(host, name):
    return json.loads(host.torpor("stats", "--json", name).out)


def load(host, name):
    """CPUs that the vCPUs of a busy guest use: by the group's account and by the threads' own clocks."""
    def look():
        s = stats(host, name)
        return time.monotonic(), s["limits"]["used"]["cpu-seconds"], s["cpu"]["vcpus"]

    first = look()
    last = first
    while last[1] - first[1] < SECONDS:
        time.sleep(0.5)
        last = look()
    passed, group, threads = (b - a for a, b in zip(first, last))
    return group / passed, threads / passed


def expect_load(host, name, cpus, how):
    group, threads = load(host, name)
    ok(f"a busy guest at {cpus} CPUs uses that, 10 % more or less: {group:.3f}, {how}",
       abs(group - cpus) <= cpus / 10 and abs(threads - cpus) <= cpus / 10, (group, threads))


def busy(guest):
    guest.console.write("sh (while :; do :; done) >/dev/null 2>&1 &")
    ok("the guest computes for ever", guest.hear(r"^sh exit 0"))


def group_of(host, name):
    return json.loads(host.torpor("inspect", "--json", name).out)["limits"]["group"]


def threads_of(host, name):
    """Of its process: the names of its threads, and the last part of their groups."""
    pid = json.loads(host.torpor("inspect", "--json", name).out)["pid"]
    text = host.run("sh", "-c", f'for t in /proc/{pid}/task/*; do echo "$(cat $t/comm) $(cat $t/cgroup)"; done').out
    return [(line.split()[0], line.rsplit("/", 1)[-1]) for line in text.splitlines()]


def by_files(host):
    mount_groups()
    guest = lab.Guest.boot(host, "files", *DEBIAN, "--cpus", "0.5", "--memory-max", "1G", "--pids-max", "100")
    threads = threads_of(host, "files")
    ok("vCPUs are in a group of their own, and no other thread is",
       all((group == "vcpus") == name.startswith("vcpu") for name, group in threads) and len(threads) > 1, threads)
    busy(guest)
    expect_load(host, "files", 0.5, "by files")
    host.torpor("update", "files", "--cpus", "0.2")
    expect_load(host, "files", 0.2, "changed while it runs")
    host.torpor("update", "files", "--cpus", "max")
    group, _ = load(host, "files")
    ok(f"without a limit it uses what there is: {group:.2f}", group > 0.6, group)
    host.torpor("update", "files", "--cpus", "0.02")
    file = host.path("files.torpor")
    guest.save(file, "-R")
    ok("with next to no CPU time for the guest the machine saves itself, and answers", guest.lives())
    host.run("rm", file)
    host.torpor("update", "files", "--cpus", "max")
    memory_is_limited(host)
    ok("the group of a machine that has ended is gone by the next start", not os.path.exists(group_of_next(host)))


def memory_is_limited(host):
    """It holds what the guest has touched: less than that ends it."""
    used = stats(host, "files")["limits"]["used"]["memory"]
    host.torpor("update", "files", "--memory-max", str(used // 2 >> 20), check=False)
    done = host.torpor("wait", "files", check=False)
    ok(f"a machine that uses {used >> 20} MiB ends with half of them", "dead" in done.out, done)


def group_of_next(host):
    """Of a machine that was killed, behind the start of another one."""
    groups = []
    for name in ("first", "second"):
        host.torpor("run", "-d", "--name", name, "--cpus", "0.5", "--kernel", f"{lab.REPOSITORY}/build/images/tiny.elf")
        groups.append(group_of(host, name))
        host.torpor("kill", name)
    return groups[0]


def started_later(host):
    guest = lab.Guest.boot(host, "later", *DEBIAN)
    ok("a machine without limits shows none", "limits" not in stats(host, "later"))
    busy(guest)
    host.torpor("update", "later", "--cpus", "0.3", "--cpu-weight", "50")
    expect_load(host, "later", 0.3, "of a machine that was started without limits")
    guest.kill()


if __name__ == "__main__":
    sys.exit(suite.main([by_files, started_later], hosts=1))
