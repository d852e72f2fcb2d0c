"""Scenario on one host: the redis of a web guest as a service below systemd, which is process 1 of namespaces of its own there
(tests/systemd/boot). Its socket is the guest's published port."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import guest as lab
import suite
import web
from suite import ok

UNITS = ("torpor@.service", "torpor@.socket")
SOCKET = """[Socket]
ListenStream=
ListenStream=127.0.0.1:6379
"""


class Inside(lab.Host):
    """Below that systemd, as root there: it has the store of the units' machines."""

    def __init__(self, folder, host):
        with open(f"{folder}/init", encoding="ascii") as file:
            self.namespaces = ["nsenter", "-t", file.read().strip(), "--all"]
        super().__init__(host.name, self.namespaces, f"{folder}/unused")
        # What the units' machines have: systemd sets HOME alone.
        self.prefix = self.namespaces + ["env", "-u", "CI", "-u", "XDG_RUNTIME_DIR", "HOME=/root"]

    def systemctl(self, *argv, **options):
        return self.run("systemctl", *argv, **options)

    def unit(self, name, what):
        return self.systemctl("show", "--value", "-p", what, name).out.strip()

    def redis(self, *argv):
        return self.run("redis-cli", "-p", "6379", *argv, check=False).out.strip()

    def said(self):
        """What the service said, and what its machine did."""
        return self.systemctl("status", "torpor@shop", check=False).out + self.torpor("logs", "--host", "shop",
                                                                                     check=False).out


def install(folder):
    """What `make install` does, and one socket by `systemctl edit`."""
    os.makedirs(f"{folder}/units/torpor@shop.socket.d", exist_ok=True)
    os.makedirs(f"{folder}/etc/torpor", exist_ok=True)
    for unit in UNITS:
        with open(f"{lab.REPOSITORY}/service/{unit}", encoding="utf-8") as file:
            text = file.read().replace("/usr/bin/torpor", lab.TORPOR)
        with open(f"{folder}/units/{unit}", "w", encoding="utf-8") as file:
            file.write(text)
    with open(f"{folder}/units/torpor@shop.socket.d/port.conf", "w", encoding="utf-8") as file:
        file.write(SOCKET)


def configure(folder, options):
    with open(f"{folder}/etc/torpor/shop.conf", "w", encoding="utf-8") as file:
        file.write(f"TORPOR_OPTIONS={options}\n")


@contextlib.contextmanager
def systemd(host, folder):
    """Until it has switched itself off, or is ended here."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{folder}/init")
    with open(f"{folder}/boot.log", "a", encoding="utf-8") as log:
        booted = subprocess.Popen([f"{lab.REPOSITORY}/tests/systemd/boot", folder], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
    try:
        lab.until(lambda: os.path.exists(f"{folder}/init") or booted.poll() is not None, 0.1)
        yield Inside(folder, host)
        booted.wait()
    finally:
        booted.terminate()
        booted.wait()


def wakes(inside):
    """A connection is answered by the guest, and behind it the machine is saved."""
    inside.systemctl("start", "torpor@shop.socket")
    ok("nothing runs before somebody connects", inside.unit("torpor@shop", "ActiveState") == "inactive")
    for times in (1, 2, 3):
        count = inside.redis("incr", "visits")
        ok(f"connection {times} wakes it, and its guest answers", count == str(times), f"{count}\n{inside.said()}")
        asleep = lab.until(lambda: inside.unit("torpor@shop", "StatusText") == "asleep")
        ok("when nobody is connected it is saved", asleep and inside.ended_as("shop") == ["saved"],
           inside.unit("torpor@shop", "StatusText"))
    inside.systemctl("stop", "torpor@shop.socket", "torpor@shop")
    ok("its stop is no failure", inside.unit("torpor@shop", "Result") == "success")


def powers_off(inside):
    inside.systemctl("start", "torpor@shop")
    ok("a port of its own answers", lab.until(lambda: inside.redis("ping") == "PONG"), inside.said())
    inside.systemctl("stop", "torpor@shop")
    ok("its stop presses the power button, and the guest switches itself off",
       inside.ended_as("shop") == ["poweroff"], inside.ended_as("shop"))
    ok("which is no failure", inside.unit("torpor@shop", "Result") == "success")


def service(host):
    if os.geteuid() != 0:
        suite.skip("redis below systemd", "needs root")
        return
    folder = tempfile.mkdtemp(prefix="torpor-systemd-")
    install(folder)
    configure(folder, "-p listen:6379 --idle-save 2")
    with systemd(host, folder) as inside:
        guest = lab.Guest.boot(inside, "shop", *web.WEB)
        guest.console.end()
        inside.torpor("save", "shop")
        wakes(inside)
        configure(folder, "-p 6379:6379 --on-term=poweroff")
        powers_off(inside)
        configure(folder, "-p 6379:6379")
        inside.systemctl("start", "torpor@shop")
        ok("what was saved last wakes again", lab.until(lambda: inside.redis("get", "visits") == "3"), inside.said())
        ok("something is written", inside.redis("incr", "visits") == "4")
        inside.systemctl("restart", "torpor@shop")
        ok("restarted, it has that", lab.until(lambda: inside.redis("get", "visits") == "4"), inside.said())
        inside.redis("incr", "visits")
        inside.systemctl("poweroff")
    with systemd(host, folder) as inside:
        inside.systemctl("start", "torpor@shop")
        ok("a shutdown of the host saved it", lab.until(lambda: inside.redis("get", "visits") == "5"), inside.said())
        inside.systemctl("poweroff")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(suite.main([service], hosts=1))
