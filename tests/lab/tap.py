"""Scenarios on one host: a guest behind a tap interface, whose TCP connections end in the host's own
kernel, and so live through a save; and one that talks to another host, across a bridge."""

import hashlib
import os
import socket
import struct
import sys
import threading

import guest as lab
import suite
import wire
from suite import DEBIAN, ok, skip

INTERFACE, HOST, GUEST, PORT = "lab0", "10.98.7.1", "10.98.7.2", 5000
MIB = 1 << 20
# Another host: a network namespace that a bridge joins with the guest's tap.
FAR, FAR_HOST, BRIDGE, CABLE = "lab-far", "10.98.7.3", "labbridge", "labcable"
SERVER_PORT = 6000  # of who echoes what the guest sends
ETHERNET_MOST = 1514  # bytes of a frame of MTU 1500


def connections_live(host):
    """Data both ways, in large frames; a connection and what is on its way survive a save."""
    if not can_tap():
        skip("a guest behind a tap interface", "needs root and /dev/net/tun")
        return
    host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tap")
    try:
        host.run("ip", "addr", "add", f"{HOST}/24", "dev", INTERFACE)
        host.run("ip", "link", "set", INTERFACE, "up")
        play(host)
    finally:
        host.run("ip", "link", "del", INTERFACE, check=False)


def offloads_end_at_the_wire(host):
    """Across the tap go large frames whose checksums nobody has finished; on the wire behind the
    bridge, whose ends compute and segment nothing for us, each frame is small and right."""
    if not can_tap():
        skip("a guest on a bridge", "needs root and /dev/net/tun")
        return
    host.run("ip", "netns", "add", FAR)
    try:
        build_network(host)
        talk(host)
    finally:
        host.run("ip", "netns", "del", FAR, check=False)  # and the cable with it
        for name in (BRIDGE, INTERFACE):
            host.run("ip", "link", "del", name, check=False)


def can_tap():
    return os.getuid() == 0 and os.path.exists("/dev/net/tun")


def build_network(host):
    """guest - tap - bridge - cable - far host. Only the bridge's end of the cable puts together what
    comes in, so that large frames go to the guest, too."""
    host.run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", 0)
    host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tap")
    host.run("ip", "link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", FAR)
    host.run("ethtool", "-K", CABLE, "tx", "off", "tso", "off", "gso", "off", "gro", "on")
    host.run("ip", "netns", "exec", FAR, "ethtool", "-K", "eth0",
             "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    for name in (INTERFACE, CABLE):
        host.run("ip", "link", "set", name, "master", BRIDGE, "up")
    host.run("ip", "link", "set", BRIDGE, "up")
    host.run("ip", "-n", FAR, "addr", "add", f"{FAR_HOST}/24", "dev", "eth0")
    host.run("ip", "-n", FAR, "link", "set", "eth0", "up")


def talk(host):
    guest = boot(host)
    near = wire.Capture(INTERFACE)
    with wire.inside(FAR):
        far = wire.Capture("eth0")
        peer = connect(guest)
        listener = socket.create_server((FAR_HOST, SERVER_PORT))
    ok("what another host sends to the guest comes back as it was", echoed(peer, 4 * MIB))
    peer.close()
    ok("so does what the guest sends to a server there",
       guest_is_echoed(guest, FAR_HOST, listener, 4 * MIB))
    guest.kill()
    check_near(wire.segments(near.end()), FAR_HOST)
    check_far(wire.segments(far.end()))


def guest_is_echoed(guest, host, listener, size):
    """The server knows by its own digest what went either way. What the guest sends lies in a file,
    and cat writes it to the connection in large pieces, where nc itself would write 1 KiB at a time."""
    known = []

    def serve():
        peer, _ = listener.accept()
        with peer:
            data = receive(peer, size)
            known.append(digest(data))
            peer.sendall(data)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    guest.say(f"sh head -c {size} /dev/urandom >/tmp/sent; "
              f"echo 'cat /tmp/sent; cat >/tmp/back' >/tmp/talk; "
              f"nc {host} {SERVER_PORT} -e sh /tmp/talk")
    server.join(lab.PATIENCE)
    return known and all(
        guest.say(f"sh [ $(sha256sum </tmp/{file} | cut -c 1-64) = {known[0]} ]") == "exit 0"
        for file in ("sent", "back"))


def check_near(passed, peer):
    """The guest's answers do not count: what it echoes is as large as what it happens to read at once."""
    for way, source in (("from the guest", GUEST), ("to the guest", peer)):
        data = [s for s in passed if s.source == source and s.data > 0 and
                (source == peer or s.to_port == SERVER_PORT)]
        large = [s for s in data if s.size > ETHERNET_MOST]
        ok(f"across the tap, most of the data {way} is in large frames",
           sum(s.data for s in large) > sum(s.data for s in data) / 2 >= 2 * MIB, sizes(data))
        ok(f"and their checksums are left to whoever needs them, {way}",
           sum(not s.checksum_right for s in large) > len(large) * 0.9, sizes(large))


def check_far(passed):
    for way, source in (("from the guest", GUEST), ("to the guest", FAR_HOST)):
        sent = [s for s in passed if s.source == source]
        ok(f"on the wire is all of the data {way}, in small frames",
           sum(s.data for s in sent) >= 8 * MIB and max(s.size for s in sent) <= ETHERNET_MOST,
           sizes(sent))
        ok(f"with every checksum of IPv4 and TCP right, {way}",
           sent and all(s.header_right and s.checksum_right for s in sent),
           [s.__dict__ for s in sent if not (s.header_right and s.checksum_right)][:5])


def sizes(passed):
    return (f"{len(passed)} segments, {sum(s.data for s in passed)} bytes of data, "
            f"largest frame {max((s.size for s in passed), default=0)}, "
            f"checksums right: {sum(s.checksum_right for s in passed)}")


def boot(host):
    """A guest on the tap that echoes."""
    guest = lab.Guest.boot(host, "tap", *DEBIAN, "--net", f"tap={INTERFACE}")
    guest.say(f"sh ip addr add {GUEST}/24 dev eth0; ip link set eth0 up")
    guest.say(f"sh nc -ll -p {PORT} -e cat >/dev/null 2>&1 &")
    guest.say(f"sh until netstat -ltn | grep -q ':{PORT} '; do sleep 0.1; done")
    return guest


def play(host):
    guest = boot(host)
    peer = connect(guest)
    wired = wire.Capture(INTERFACE)
    ok("data comes back as it was", echoed(peer, 4 * MIB))
    with socket.create_server((HOST, SERVER_PORT)) as listener:
        ok("so does what the guest sends", guest_is_echoed(guest, HOST, listener, 4 * MIB))
    check_near(wire.segments(wired.end()), HOST)

    file, capture = host.path("tap.torpor"), host.path("tap.pcap")
    before = guest.memory()
    under_way = os.urandom(MIB)
    sender = threading.Thread(target=peer.sendall, args=(under_way,))
    sender.start()
    guest.save(file)
    guest = lab.Guest.wake(host, "tap", file, "--golden", "--net", f"tap={INTERFACE}", "--pcap", capture)
    same = digest(receive(peer, MIB)) == digest(under_way)
    sender.join()
    ok("what was on its way during the save arrives", same)
    ok("the connection lives on", echoed(peer, MIB))
    ok("the same guest", guest.remembers(before))
    ok("it has announced itself", announced(capture))
    newer = connect(guest)
    ok("nobody is in the way of a new connection", echoed(newer, 1000))
    host.torpor("reset", "tap")
    ok("a connection that the golden does not have is reset", is_reset(newer))
    ok("behind a reset there are new ones", echoed(connect(guest), 1000))
    ok("of the same guest", guest.remembers(before))
    guest.kill()
    host.run("rm", file, capture)


def is_reset(peer):
    """The guest, asked for more, answers that it knows nothing of it."""
    try:
        peer.sendall(b"more")
        peer.recv(1)
        return False
    except ConnectionResetError:
        return True


def connect(guest):
    try:
        peer = socket.create_connection((GUEST, PORT), timeout=lab.PATIENCE)
    except OSError as error:
        raise lab.Failure(f"no connection: {error}; the guest says {guest.say('net')}") from None
    return peer


def receive(peer, size):
    parts, got = [], 0
    while got < size:
        try:
            part = peer.recv(min(MIB, size - got))
        except TimeoutError:
            raise lab.Failure(f"nothing more comes after {got} of {size} bytes") from None
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
    sys.exit(suite.main([connections_live, offloads_end_at_the_wire], hosts=1))
