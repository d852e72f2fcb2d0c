"""A scenario on one host: eight clones of one file at once, each with a port, randomness and an identity of
its own, and with a clock that is right though it slept."""

import concurrent.futures
import http.server
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import guest as lab
import suite
from suite import ok
from web import AUTHORITY, IMAGE, PUBLISHED, WEB, Web, outer_address

CLONES = 8
PARKED = 600  # seconds that they were away, by their host's clock


def eight_clones(host):
    """Of one file, at once, ten minutes later by the host's clock."""
    guest = Web.boot(host, "seed", *WEB)
    guest.await_net()
    nonce = guest.nonce
    lived = lab.Lived(lambda: guest.number("uptime"))
    file = host.path("seed.torpor")
    guest.save(file, "--flat")
    parked = park(host)
    # Valid from now on: who thinks that it is earlier does not believe in it.
    server = TlsServer(host)

    def wake(n):
        return Web.wake(host, f"clone{n}", file, *PUBLISHED)

    with concurrent.futures.ThreadPoolExecutor(CLONES) as pool:
        clones = list(pool.map(wake, range(CLONES)))
    ok(f"{CLONES} clones each answer on a port of their own",
       len({clone.port(80) for clone in clones}) == CLONES
       and all(clone.first_answer() for clone in clones))
    ok("each is the same guest", all(clone.say("nonce") == nonce for clone in clones))
    told = [clone.await_wakes(1) for clone in clones]
    ok("their hooks know names and how long they slept",
       [t["name"] for t in told] == [clone.name for clone in clones]
       and all(int(t["asleep"]) >= parked for t in told), told)
    for question in ("random", "uuid"):
        answers = {clone.say(question) for clone in clones}
        ok(f"{CLONES} different answers to `{question}`", len(answers) == CLONES, answers)
    off = [seconds_off(clone) for clone in clones]
    ok("all their clocks are right", max(off) < 2, off)
    ok("though no time has passed for them", lived.only(lambda: clones[0].number("uptime")))
    answers = [clone.say(f"http {server.url}") for clone in clones]
    ok("each believes a certificate that was made after it slept",
       answers == ["200 6 right"] * CLONES, answers)
    ok("and each proves with its own who it is",
       all(clone.get(scheme="https").out == "awake\n" for clone in clones))
    for clone in clones:
        clone.kill()
    host.run("rm", file)


def seconds_off(guest):
    """How far its clock is from ours, whatever the answer took."""
    before = time.time()
    clock = guest.number("clock")
    return max(before - clock, clock - time.time(), 0)


def park(host):
    """Let PARKED seconds pass in none; how many really did."""
    if not lab.in_lab():
        suite.note("this machine's clock is not for us to set: the clones were not away")
        return 0
    host.run("date", "-s", f"+{PARKED} seconds")
    return PARKED


class TlsServer:
    """Says `right` to whoever trusts the web guest's authority, with a certificate made now."""

    def __init__(self, host):
        address = outer_address(host)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["cp", AUTHORITY, f"{IMAGE}/ca.key", folder], check=True)
            certify = os.path.join(lab.REPOSITORY, "images/web/certify")
            subprocess.run([certify, folder, address], check=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
        self.server = http.server.ThreadingHTTPServer((address, 0), Right)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://{address}:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Right(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"right\n")

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    sys.exit(suite.main([eight_clones], hosts=1))
