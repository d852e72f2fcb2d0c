"""Scenarios on one host: a guest behind a tap interface, whose TCP connections end in the host's own
kernel, and so live through a save."""

import hashlib
import json
import os
import socket
import struct
import sys
import threading

import guest as lab
import suite
from suite import DEBIAN, ok, skip

INTERFACE, HOST, GUEST, PORT = "lab0", "10.98.7.1", "10.98.7.2", 5000
MIB = 1 << 20


def connections_live(host):
    """Data both ways, in large frames; a connection and what is on its way survive a save."""
    if os.getuid() != 0 or not os.path.exists("/dev/net/tun"):
        skip("a guest behind a tap interface", "needs root and /dev/net/tun")
        return
    host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tap")
    try:
        host.run("ip", "addr", "add", f"{HOST}/24", "dev", INTERFACE)
        host.run("ip", "link", "set", INTERFACE, "up")
        play(host)
    finally:
        host.run("ip", "link", "del", INTERFACE, check=False)


def play(host):
    guest = lab.Guest.boot(host, "tap", *DEBIAN, "--net", f"tap={INTERFACE}")
    guest.say(f"sh ip addr add {GUEST}/24 dev eth0; ip link set eth0 up")
    guest.say(f"sh nc -ll -p {PORT} -e cat >/dev/null 2>&1 &")
    peer = connect(guest)
    ok("data comes back as it was", echoed(peer, 4 * MIB))
    network = cards(host)[0]
    ok("most of it in large frames",
       all(network[way]["bytes"] / network[way]["frames"] > 3000 for way in ("sent", "received")),
       network)

    file, capture = host.path("tap.torpor"), host.path("tap.pcap")
    before = guest.memory()
    under_way = os.urandom(MIB)
    sender = threading.Thread(target=peer.sendall, args=(under_way,))
    sender.start()
    guest.save(file)
    guest = lab.Guest.wake(host, "tap", file, "--net", f"tap={INTERFACE}", "--pcap", capture)
    same = digest(receive(peer, MIB)) == digest(under_way)
    sender.join()
    ok("what was on its way during the save arrives", same)
    ok("the connection lives on", echoed(peer, MIB))
    ok("the same guest", guest.remembers(before))
    ok("it has announced itself", announced(capture))
    ok("nobody is in the way of a new connection", echoed(connect(guest), 1000))
    guest.kill()
    host.run("rm", file, capture)


def connect(guest):
    try:
        peer = socket.create_connection((GUEST, PORT), timeout=60)
    except OSError as error:
        raise lab.Failure(f"no connection: {error}; the guest says {guest.say('net')}") from None
    return peer


def receive(peer, size):
    parts, got = [], 0
    while got < size:
        part = peer.recv(min(MIB, size - got))
        if not part:
            raise lab.Failure(f"the connection ended after {got} of {size} bytes")
        parts.append(part)
        got += len(part)
    return b"".join(parts)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def echoed(peer, size):
    data = os.urandom(size)
    sender = threading.Thread(target=peer.sendall, args=(data,))
    sender.start()
    back = receive(peer, size)
    sender.join()
    return digest(back) == digest(data)


def cards(host):
    return json.loads(host.torpor("stats", "tap", "--json").out)["network"]


def announced(capture):
    """Is there an ARP frame from the guest that asks for its own address (RFC 5227 §3), and is the
    file whole? (libpcap's format, nanoseconds.)"""
    with open(capture, "rb") as f:
        data = f.read()
    if struct.unpack_from("<IHHIIII", data)[0] != 0xa1b23c4d:
        return False
    address, at, found = socket.inet_aton(GUEST), 24, False
    while at < len(data):
        size = struct.unpack_from("<IIII", data, at)[2]
        frame = data[at + 16:at + 16 + size]
        found |= frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42] == address
        at += 16 + size
    return found and at == len(data)


if __name__ == "__main__":
    sys.exit(suite.main([connections_live], hosts=1))
