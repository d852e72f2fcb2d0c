"""A scenario on two hosts with a network of user mode: servers in a guest, visited through published
ports while it is saved, go on on the other host with other ports."""

import socket
import sys
import time

import guest as lab
import suite
from suite import note, ok
from web import PUBLISHED, WEB, Visitors, Web, outer_address


class Line:
    """A connection to redis that speaks its inline protocol."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=lab.PATIENCE)
        self.stream = self.socket.makefile("rb")

    def ask(self, words):
        self.socket.sendall(words.encode() + b"\r\n")
        answer = self.stream.readline()
        if not answer:
            raise ConnectionResetError("the server is gone")
        return answer[1:].decode().strip()

    def seconds_to_end(self):
        """Until the other side ends or resets it; None if it does neither."""
        start = time.monotonic()
        self.socket.settimeout(lab.PATIENCE)
        try:
            if self.socket.recv(1):
                return None
        except TimeoutError:
            return None
        except OSError:
            pass
        return time.monotonic() - start


class Outgoing:
    """A connection that the guest itself has opened, to a server here; it notes when that ends."""

    def __init__(self, guest):
        address = outer_address(guest.host)
        self.server = socket.create_server((address, 0))
        self.server.settimeout(lab.PATIENCE)
        port = self.server.getsockname()[1]
        guest.say(f"sh mkfifo /run/silence; (nc {address} {port} <>/run/silence;"
                  " cut -d ' ' -f 1 /proc/uptime >/run/let-go) >/dev/null 2>&1 &")
        self.peer, _ = self.server.accept()

    @staticmethod
    def ended_at(guest):
        """The guest's uptime when it ended; None if it does not. By itself it would live for ever."""
        if not lab.until(lambda: guest.say("sh [ -s /run/let-go ]") == "exit 0"):
            return None
        guest.console.write("sh cat /run/let-go")
        line = guest.hear(r"^([0-9.]+$|sh exit)")
        return float(line) if line is not None and line[0] != "s" else None


def published(host1, host2):
    """Saved while visitors are at work, woken on the other host with other ports."""
    guest = Web.boot(host1, "shop", *WEB, *PUBLISHED)
    guest.await_net()
    ok("curl gets a page by http and https through published ports",
       guest.get().out == guest.get(scheme="https").out == "awake\n")
    ok("redis-cli stores through a published port", guest.redis("set", "who", "me") == "OK")
    taken_port(host1, guest)

    before = guest.memory()
    line = Line(guest.port(6379))
    outgoing = Outgoing(guest)
    idle = Line(guest.port(6379))
    visitors = Visitors(lambda: guest.get("/big", check=False), lambda: line.ask("incr orders"))
    visitors.await_service()
    source, file = host1.path("shop.torpor"), host2.path("shop.torpor")
    guest.save(source)
    gone = idle.seconds_to_end()
    visitors.stop()
    ok("an open connection of the host's ends with the save", gone is not None)
    note(f"it ended {gone} s behind the save")
    ok("visitors were served until then, and no page was torn",
       visitors.answered > 10 and visitors.pages > 0 and visitors.torn == 0, vars(visitors))

    host1.send(source, host2, file)
    guest = Web.wake(host2, "shop", file, *PUBLISHED)
    note(f"first answer: {guest.first_answer():.0f} ms after resume -d, which took {guest.ms:.0f}")
    answered = guest.number("uptime")
    ok("woken on the other host: nonce and counter", guest.remembers(before))
    ended = outgoing.ended_at(guest)
    ok("the connection it had opened itself is reset", ended is not None)
    note(f"it was reset at {ended} s of its uptime, and the guest had answered by {answered}")
    inside = guest.say("redis client list")
    ok("its server has no connection left of those of before", "addr=10.0.2.2:" not in inside, inside)
    orders = int(guest.redis("get", "orders"))
    ok("every order that was acknowledged is there",
       visitors.answered <= orders <= visitors.asked, (orders, vars(visitors)))
    ok("so is the data of before", guest.redis("get", "who") == "me")
    ok("a big page arrives whole", guest.host.run(
        "bash", "-c", f"curl -sS http://127.0.0.1:{guest.port(80)}/big | "
        "cmp - <(seq 1000000 1524287)", check=False).status == 0)
    told = guest.await_wakes(1)
    ok("its hooks ran, and know its name", told["name"] == "shop", told)
    guest.kill()
    host1.run("rm", source)
    host2.run("rm", file)


def taken_port(host, guest):
    taken = guest.port(80)
    done = host.torpor("run", "-d", "--name", "late", *WEB, "-p", f"127.0.0.1:{taken}:80", check=False)
    ok("a port in use is one clear error", done.status != 0 and len(done.err.splitlines()) == 1
       and str(taken) in done.err, done)


if __name__ == "__main__":
    sys.exit(suite.main([published], hosts=2))
