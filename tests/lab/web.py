"""A guest of images/web and its visitors: curl and redis-cli on the host it runs on, through the ports
that it publishes there."""

import os
import re
import threading
import time

import guest as lab
import suite

IMAGE = os.path.join(lab.REPOSITORY, "build/images/web")
WEB = ["--kernel", f"{IMAGE}/vmlinuz", "--initrd", f"{IMAGE}/initrd.img",
       "--append", suite.APPEND, "--disk", f"{IMAGE}/disk.img", "-m", "192M"]
AUTHORITY = f"{IMAGE}/ca.pem"
BIG = "".join(f"{n}\n" for n in range(1000000, 1524288))

# A port of the host's choice for each of the guest's servers.
PUBLISHED = ["-p", "127.0.0.1:0:80", "-p", "127.0.0.1:0:443", "-p", "127.0.0.1:0:6379"]


ADDRESS = "10.77.1.1"  # of a lab host, for what guests shall reach


def outer_address(host):
    """An address of the host's that is not its loopback's, which guests may not reach."""
    if lab.in_lab():
        host.run("busybox", "ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo")
        return ADDRESS
    return host.run("hostname", "-I").out.split()[0]


class Web(lab.Guest):
    """Guest.boot and Guest.wake make one."""

    def __init__(self, host, name):
        super().__init__(host, name)
        self.ports = {}

    def port(self, inner):
        """Where the host publishes the guest's TCP port. It stays, so it is asked for once."""
        if not self.ports:
            listed = self.host.torpor("port", self.name).out
            self.ports = {int(guest): int(host) for guest, host in
                          re.findall(r"(?m)^(\d+)/tcp -> \S*:(\d+)$", listed)}
        if inner not in self.ports:
            self.fail(f"port {inner} is not published, only {self.ports}")
        return self.ports[inner]

    def get(self, path="/", scheme="http", check=True):
        """curl's Result; its output has what the guest's server said."""
        port = self.port(443 if scheme == "https" else 80)
        return self.host.run("curl", "-sS", "--max-time", lab.PATIENCE, "--cacert", AUTHORITY,
                             f"{scheme}://127.0.0.1:{port}{path}", check=check)

    def first_answer(self):
        """Milliseconds until it serves its page."""
        start = time.monotonic()
        if not lab.until(lambda: self.get(check=False).out == "awake\n", pause=0):
            self.fail("it serves no page")
        return (time.monotonic() - start) * 1000

    def redis(self, *words):
        """redis-cli's output."""
        return self.host.run("redis-cli", "-p", self.port(6379), *words).out.strip()

    def await_net(self):
        """The address of eth0, when it has one, and its MAC."""
        if not lab.until(lambda: self.say("net").split()[0] != "-"):
            self.fail("it gets no address")
        return tuple(self.say("net").split()[:2])

    def await_wakes(self, count):
        """What its hooks were told, when they have run so often."""
        if not lab.until(lambda: int(self.say("wakes").split()[0]) >= count):
            self.fail(f"its hooks ran {self.say('wakes').split()[0]} times, not {count}")
        return dict(word.partition("=")[::2] for word in self.say("wakes").split()[1:])


class Visitors:
    """Threads that fetch and count until stop(): `answered` of what they have `asked`."""

    def __init__(self, page, counter):
        self.asked = self.answered = self.pages = self.torn = 0
        self.going = True
        self.threads = [threading.Thread(target=self._order, args=(counter,), daemon=True),
                        threading.Thread(target=self._fetch, args=(page,), daemon=True)]
        for thread in self.threads:
            thread.start()

    def _order(self, order):
        """Until the machine goes away, or is told to stop."""
        try:
            while self.going:
                self.asked += 1
                order()
                self.answered += 1
        except OSError:
            pass

    def _fetch(self, fetch):
        while self.going:
            done = fetch()
            if done.status != 0:
                return
            self.pages += 1
            self.torn += done.out != BIG

    def await_service(self):
        """Until both have been served, or one of them has given up."""
        lab.until(lambda: self.answered > 10 and self.pages > 0
                  or not all(thread.is_alive() for thread in self.threads), pause=0.2)

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join()
