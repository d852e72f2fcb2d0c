"""A scenario on two hosts: programs in a guest of Debian's kernel and on its host talk by --vsock. (The programs are the
host's own, as in share.py.) vector.py plays it in make check."""

import sys
import time

import build
import guest as lab
import share
import suite
from suite import note, ok

MUCH = 3 << 20  # bytes, beyond every buffer on the way
FOLDERS = ["-v", "/usr:/usr:ro", "-v", f"{share.TOOLS}:/tools:ro"]


class Peer(lab.Console):
    """A program of the host that stays, with lines in and out."""

    def __init__(self, host, *argv):
        super().__init__(host.prefix + ["/usr/bin/python3", f"{share.TOOLS}/vsock_peer.py", *argv])


class Guest:
    def __init__(self, host, name, path):
        self.host, self.name, self.path = host, name, path

    def inside(self, script):
        return self.host.torpor("exec", self.name, "--", "/bin/busybox", "sh", "-c", script, check=False)

    def begin(self, file, *argv):
        """One of the peers, in the background there, what it says in a file."""
        words = " ".join(argv)
        self.inside(f"/usr/bin/python3 /tools/vsock_peer.py {words} </dev/null >/tmp/{file} 2>&1 &")

    def said(self, file):
        return self.inside(f"cat /tmp/{file}").out

    def says(self, file, text):
        return lab.until(lambda: text in self.said(file))

    def call(self, port, size):
        return self.inside(f"/usr/bin/python3 /tools/vsock_peer.py call {port} {size}")

    def connect(self, port, size):
        return self.host.run("/usr/bin/python3", f"{share.TOOLS}/vsock_peer.py", "connect", self.path, str(port), str(size))

    def answers_both_ways(self, when, size):
        """From the host to the guest's 52, whose server is there since the guest was booted, and from it to the host's 80."""
        got = self.connect(52, size)
        ok(f"{when}: a client of {self.host.name} and a server of {self.name}", got.out == f"SAME {size}\n", f"{got}")
        ok(f"{when}: it is that guest", self.says("serve", f"GOT {size}\n"), self.said("serve"))
        listener = Peer(self.host, "listen", self.path, "80")
        listener.wait("LISTENS")
        got = self.call(80, size)
        ok(f"{when}: a client of {self.name} and a server of {self.host.name}", got.out == f"SAME {size}\n", f"{got}")
        ok(f"{when}: it is that host", listener.wait("GOT") == f"GOT {size}")
        listener.end()
        self.host.run("rm", f"{self.path}_80")


def boot(host, name):
    path = host.path(f"{name}.vsock")
    host.torpor("run", "-d", "--name", name, "-m", "512M", "--net", "none", *build.kernel(), *FOLDERS, "--vsock", path,
                share.image())
    if not build.runs(host, name):
        raise lab.Failure(f"{name} runs no command: {build.log(host, name)}")
    return Guest(host, name, path)


def wake(host, name, file):
    path = host.path(f"{name}.vsock")
    host.torpor("resume", file, "-d", "--name", name, *FOLDERS, "--vsock", path)
    return Guest(host, name, path)


def nobody_there(guest):
    got = guest.connect(53, 1)
    ok("a port that nobody in the guest listens at", got.out == "REFUSED ECONNREFUSED\n", f"{got}")
    got = guest.call(81, 1)
    ok("a port that nobody on the host listens at", got.out == "REFUSED ECONNRESET\n", f"{got}")


def across_a_save(guest, file):
    """A connection each way is held; a save that leaves the machine running keeps it, a wake does not."""
    listener = Peer(guest.host, "listen", guest.path, "80")
    listener.wait("LISTENS")
    held = Peer(guest.host, "connect", guest.path, "52", "hold")
    ok("a connection to the guest is held", held.wait("HELD|REFUSED") == "HELD")
    guest.begin("held", "call", "80", "hold")
    ok("a connection of the guest is held", guest.says("held", "HELD"), guest.said("held"))
    guest.host.torpor("save", guest.name, "-R", "-o", file)
    held.write("still here")
    ok("behind save -R it goes on", held.wait(".") == "still here")
    guest.host.torpor("save", guest.name, "-o", file)
    ok("its client sees the machine end", held.wait(".") == "END")
    ok("so does the server", listener.wait("GO") is not None)
    listener.end()
    guest.host.run("rm", f"{guest.path}_80")
    ok("PATH is gone with the machine", lab.until(lambda: guest.host.run("test", "-e", guest.path, check=False).status != 0))
    woken = wake(guest.host, guest.name, file)
    # At once: the guest has not handled the event yet.
    woken.answers_both_ways("woken", MUCH)
    ok("the guest's client learns that its connection is gone", woken.says("held", "GONE ECONNRESET"), woken.said("held"))
    ok("and so does its server", woken.says("serve", "GONE ECONNRESET"), woken.said("serve"))
    return woken


def connections(host, other):
    begun = time.monotonic()
    guest = boot(host, "vsock")
    note(f"a guest with a vsock is up after {time.monotonic() - begun:.0f} s")
    guest.begin("serve", "serve", "52")
    ok("a program of the guest listens", guest.says("serve", "LISTENS"), guest.said("serve"))
    guest.answers_both_ways("booted", MUCH + 1)
    nobody_there(guest)
    file, there = host.path("vsock.torpor"), other.path("vsock.torpor")
    guest = across_a_save(guest, file)
    host.send(file, other, there)
    guests = [guest, wake(host, "second", file), wake(other, "third", there)]
    host.run("rm", file)
    for number, each in enumerate(guests):
        each.answers_both_ways(f"one of three, {each.name}", 1000 + number)
    for each in guests:
        each.host.torpor("kill", each.name)
    other.run("rm", there)


if __name__ == "__main__":
    sys.exit(suite.main([connections], hosts=2))
