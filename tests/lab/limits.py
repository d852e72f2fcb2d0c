"""Scenarios on one host: limits of a machine, measured. By files, as root without a systemd; by a scope, and in a service that has
its group delegated, of root and of a user, below a systemd that is process 1 of namespaces of its own (tests/systemd/boot)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import guest as lab
import service
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


class Control:
    """A program that computes for ever in a group of its own, with a limit as a machine has it: what it gets of that is what
    the host's CPU, or its emulator, has to give in the same moment."""

    CPUS = 0.2

    def __enter__(self):
        self.group = f"{GROUPS}/control-{os.getpid()}"
        os.mkdir(self.group)
        with open(f"{self.group}/cpu.max", "w", encoding="ascii") as file:
            file.write(f"{int(self.CPUS * 20000)} 20000")
        self.child = subprocess.Popen(["sh", "-c", f"echo $$ >{self.group}/cgroup.procs; while :; do :; done"])
        return self

    def used(self):
        with open(f"{self.group}/cpu.stat", encoding="ascii") as file:
            return int(dict(line.split() for line in file)["usage_usec"]) / 1e6

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        lab.until(lambda: "populated 0" in open(f"{self.group}/cgroup.events", encoding="ascii").read(), 0.05)
        os.rmdir(self.group)


def stats(host, name):
    return json.loads(host.torpor("stats", "--json", name).out)


def load(host, name):
    """CPUs that the vCPUs of a busy guest use, by the group's account and by the threads' own clocks, and the part of
    its limit that a control gets beside it."""
    with Control() as control:
        def look():
            s = stats(host, name)
            return time.monotonic(), s["limits"]["used"]["cpu-seconds"], s["cpu"]["vcpus"], control.used()

        first = look()
        # Whoever looks takes CPU time, too.
        time.sleep(SECONDS)
        last = look()
    passed, group, threads, beside = (b - a for a, b in zip(first, last))
    return group / passed, threads / passed, beside / passed / control.CPUS


def expect_load(host, name, cpus, how):
    group, threads, part = load(host, name)
    ok(f"a busy guest at {cpus} CPUs uses that, 10 % more or less: {group:.3f}, {how}; a control has {part:.2f} of its limit",
       abs(group - cpus * part) <= cpus * part / 10 and abs(threads - cpus * part) <= cpus * part / 10, (group, threads, part))


def busy(guest):
    guest.console.write("sh (while :; do :; done) >/dev/null 2>&1 &")
    ok("the guest computes for ever", guest.hear(r"^sh exit 0"))


def live(guest):
    """Of a machine that was started without limits: what it may use is changed while it runs. small.py plays it in make check."""
    mount_groups()
    ok("a machine without limits shows none", "limits" not in stats(guest.host, guest.name))
    busy(guest)
    for cpus in (0.5, 0.3):
        guest.host.torpor("update", guest.name, "--cpus", cpus)
        expect_load(guest.host, guest.name, cpus, "changed while it runs")


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
    group, _, part = load(host, "files")
    ok(f"without a limit it uses what there is: {group:.2f}", group > 2 * part * Control.CPUS, (group, part))
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
    live(guest)
    guest.kill()


def install_once(folder):
    """A service that has nothing delegated, and starts a machine."""
    words = [lab.TORPOR, "run", "-d", "-n", "scope", *DEBIAN, "--cpus", "0.5", "--memory-max", "1G", "--cpu-weight", "50"]
    with open(f"{folder}/units/once.service", "w", encoding="utf-8") as file:
        file.write("[Service]\nType=oneshot\nEnvironment=HOME=/root\n"
                   f"StandardError=append:{folder}/once.err\nExecStart=" + " ".join(f'"{w}"' for w in words) + "\n")


def install_shop(folder):
    """What it says is kept, and it is configured before anybody looks."""
    service.install(folder)
    service.configure(folder, "--cpus=0.5")
    os.mkdir(f"{folder}/units/torpor@shop.service.d")
    with open(f"{folder}/units/torpor@shop.service.d/said.conf", "w", encoding="utf-8") as file:
        file.write(f"[Service]\nStandardError=append:{folder}/shop.err\n")


def said(folder, name):
    with open(f"{folder}/{name}.err", encoding="utf-8") as file:
        return file.read()


def systemd_scope(inside, folder):
    """The machine is in a scope, and outlives the service."""
    started = inside.systemctl("start", "once", check=False)
    if started.status != 0:
        raise lab.Failure(said(folder, "once"))
    guest = lab.Guest(inside, "scope")
    guest.look_for_ready()
    scope = os.path.basename(group_of(inside, "scope"))
    ok("it is in a scope of systemd", scope.startswith("torpor-scope-") and scope.endswith(".scope"), scope)
    ok("which has its limits", inside.unit(scope, "MemoryMax") == str(1 << 30) and inside.unit(scope, "CPUWeight") == "50")
    busy(guest)
    expect_load(inside, "scope", 0.5, "in a scope")
    inside.torpor("update", "scope", "--cpus", "0.2", "--memory-max", "512M")
    expect_load(inside, "scope", 0.2, "changed in a scope")
    ok("systemd knows what was changed", inside.unit(scope, "MemoryMax") == str(512 << 20))
    guest.kill()
    ok("the scope ends with it", lab.until(lambda: inside.unit(scope, "LoadState") == "not-found"))


def systemd_service(inside, folder):
    """The unit has its group delegated: the machine stays in it."""
    guest = lab.Guest.boot(inside, "shop", *DEBIAN)
    guest.console.end()
    inside.torpor("save", "shop")
    started = inside.systemctl("start", "torpor@shop", check=False)
    if started.status != 0:
        raise lab.Failure(said(folder, "shop"))
    guest = lab.Guest(inside, "shop")
    group = group_of(inside, "shop")
    ok("a service's machine is in a group below the service's", "/torpor@shop.service/torpor-shop-" in group, group)
    busy(guest)
    expect_load(inside, "shop", 0.5, "in a service")
    inside.systemctl("stop", "torpor@shop")
    ok("stopped, it is saved", inside.ended_as("shop") == ["saved"] and
       inside.unit("torpor@shop", "Result") == "success", inside.ended_as("shop"))


class User(lab.Host):
    """Who is not root; below that systemd, or, once that has ended, beside it."""

    ID = 1  # daemon

    def __init__(self, host, home, prefix=()):
        super().__init__(host.name, list(prefix), f"{home}/unused")
        self.prefix = [*prefix, "setpriv", "--reuid", str(self.ID), "--regid", str(self.ID), "--clear-groups", "env", "-u", "CI",
                       *self.variables(home)]

    @staticmethod
    def variables(home):
        return [f"HOME={home}", f"XDG_RUNTIME_DIR={home}/run"]

    @classmethod
    def make_home(cls):
        home = tempfile.mkdtemp(prefix="torpor-user-")
        os.mkdir(f"{home}/run", 0o700)
        for path in (home, f"{home}/run"):
            os.chown(path, cls.ID, cls.ID)
        return home


def install_user(folder, home):
    """A service of theirs, with a /dev/kvm for all of that systemd's."""
    words = [lab.TORPOR, "run", "-n", "user", *DEBIAN, "--cpus", "0.5", "--memory-max", "1G", "--restart", "on-failure",
             "--on-term", "save"]
    with open(f"{folder}/units/user.service", "w", encoding="utf-8") as file:
        file.write(f"[Service]\nType=exec\nUser={User.ID}\nDelegate=yes\nKillMode=mixed\nTimeoutSec=infinity\n"
                   f"Environment={' '.join(User.variables(home))}\nStandardError=append:{folder}/user.err\n"
                   "ExecStartPre=+/bin/sh -c 'mknod -m 666 /run/kvm c 10 232 && mount --bind /run/kvm /dev/kvm'\n"
                   "ExecStart=" + " ".join(f'"{w}"' for w in words) + "\n")


def pid_of(host, name):
    found = host.torpor("inspect", "--json", name, check=False)
    return json.loads(found.out).get("pid") if found.status == 0 else None


def systemd_user(inside, folder, user):
    """Without root, in a service that has its group delegated. A machine that is killed is started again, with its limits."""
    started = inside.systemctl("start", "user", check=False)
    lab.until(lambda: pid_of(user, "user") or inside.unit("user", "ActiveState") == "failed")
    first = pid_of(user, "user")
    if first is None:
        raise lab.Failure(f"{started} {said(folder, 'user')}")
    inside.run("kill", "-KILL", first)
    ok("a machine that is killed is started again", lab.until(lambda: pid_of(user, "user") not in (None, first)))
    guest = lab.Guest(user, "user")
    guest.look_for_ready()
    group = group_of(user, "user")
    ok("a user's machine is in a group below the service's", "/user.service/torpor-user-" in group, group)
    ok("which has its limit", user.run("cat", f"{group}/memory.max").out == f"{1 << 30}\n", group)
    busy(guest)
    expect_load(user, "user", 0.5, "of a user, in a service")
    user.torpor("update", "user", "--cpus", "0.2", "--memory-max", "512M")
    expect_load(user, "user", 0.2, "changed by that user")
    ok("so is the memory", user.run("cat", f"{group}/memory.max").out == f"{512 << 20}\n", group)
    user.torpor("update", "user", "--cpus", "max")
    guest.console.end()


def by_systemd(host):
    if os.geteuid() != 0:
        suite.skip("limits below systemd", "needs root")
        return
    mount_groups()
    folder = tempfile.mkdtemp(prefix="torpor-systemd-")
    install_shop(folder)
    install_once(folder)
    # Units are read when it boots.
    home = User.make_home()
    install_user(folder, home)
    with service.systemd(host, folder) as inside:
        systemd_scope(inside, folder)
        systemd_service(inside, folder)
        systemd_user(inside, folder, User(host, home, inside.namespaces))
        inside.systemctl("poweroff")
    ended = User(host, home).ended_as("user")
    ok("when that systemd switches itself off, the user's machine is saved", ended == ["saved"], f"{ended} {said(folder, 'user')}")
    for made in (folder, home):
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(suite.main([by_files, started_later, by_systemd], hosts=1))
