"""Scenario on two hosts: redis is woken by the other one from a registry, while it is fetched.

The guest has ballast beside its keys, for the image of redis alone is small. Between the hosts is a relay of a
limited rate, which goes away in the middle.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import guest as lab
import suite
from shop import REDIS, Shop
from suite import note, ok

BALLAST = 160  # MiB that do not pack
RATE = 2 << 20  # bytes a second
CHUNK = 64 << 10
REGISTRY = 5000  # on host1
RELAY = 5001


class Relay:
    """TCP to the registry, no faster than RATE in all. While it is away, nobody listens."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()
        self.due = time.monotonic()
        self.back()

    def back(self):
        self.listener = socket.create_server((self.address, RELAY), reuse_port=True)
        self.open = set()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def go_away(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for end in self.open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", REGISTRY))
            with self.lock:
                self.open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                with self.lock:
                    self.due = max(self.due, time.monotonic()) + len(data) / RATE
                    pause = self.due - time.monotonic()
                time.sleep(max(0.0, pause))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def start_registry(host):
    config = host.path("registry.yml")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {host.path("registry")}}}}}
http: {{addr: "127.0.0.1:{REGISTRY}"}}
""")
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", REGISTRY)):
            return True

    if not lab.until(listens):
        raise lab.Failure("docker-registry does not listen")
    return server


def by_wire_only(host1, host2):
    shop = Shop.boot(host1, "web", *REDIS, "-m", "512M")
    shop.open()
    shop.say(f"mem {BALLAST}")
    before = shop.look()
    file, warmed = host1.path("web.torpor"), host1.path("warmed.torpor")
    shop.save(file)
    host1.torpor("warm", "--for", "8", "-o", warmed, file)
    os.unlink(file)
    address = "10.77.0.1" if lab.in_lab() else "127.0.0.1"
    registry = start_registry(host1)
    relay = None
    try:
        host1.torpor("push", warmed, f"docker://127.0.0.1:{REGISTRY}/shop:v1")
        os.unlink(warmed)
        relay = Relay(address)
        wakes(host2, f"docker://{address}:{RELAY}/shop:v1", relay, before)
    finally:
        if relay is not None:
            relay.go_away()
        registry.kill()
        registry.wait()


def arriving(host, name):
    listed = json.loads(host.torpor("ps", "--json").out)
    machine, = (m for m in listed if m["name"] == name)
    return machine["arriving"]


def wakes(host, source, relay, before):
    start = time.monotonic()
    web = Shop.wake(host, "web", source, "--plain-http")
    ok("by wire only: nonce", web.say("nonce") == before.nonce)
    first = arriving(host, "web")
    share = first["there"] / first["bytes"]
    note(f"first answer after {time.monotonic() - start:.1f} s, with {first['there'] >> 20} of "
         f"{first['bytes'] >> 20} MiB: {share * 100:.1f} %")
    ok("it answers before 15 % of the bytes are there", share < 0.15, first)
    relay.go_away()
    ok("the server is gone: it waits", lab.until(lambda: arriving(host, "web")["state"] == "waiting"),
       arriving(host, "web"))
    shown = host.torpor("ps").out
    ok("ps says for whom", f"waiting for {source.split('/')[2]} since " in shown, shown)
    relay.back()
    ok("the server is back: all of its keys, and it works on", web.went_on(before))
    seen = arriving(host, "web")
    note(f"all keys after {time.monotonic() - start:.1f} s, with {seen['there'] >> 20} MiB")
    ok("the rest arrives beside its work", lab.until(lambda: arriving(host, "web")["state"] == "complete"),
       arriving(host, "web"))
    now = web.went_on(before)
    web.save(host.path("again.torpor"))
    again = Shop.wake(host, "again", host.path("again.torpor"))
    ok("saved when it was all there, it goes on", again.went_on(now))
    again.kill()
    stored = Shop.wake(host, "stored", source)
    ok("the image is in the store now", stored.went_on(before))
    stored.kill()


if __name__ == "__main__":
    sys.exit(suite.main([by_wire_only], hosts=2))
