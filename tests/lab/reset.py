"""A scenario on one host: a Debian guest with a disk and a network is taken back in place again and again.
Each time its memory, its disk and its state are the golden's, byte for byte."""

import json
import os
import re
import socket
import struct
import sys
import tarfile
import threading
import time

import guest as lab
import suite
from suite import DEBIAN, DISK, note, ok

MIB = 1 << 20
MEMORY = 112  # MiB
RESETS = int(os.environ.get("RESETS", 100))
SEED = "5a" * 32
# What goes on while a machine stands: its TSC, and the count of its LAPIC's timer. And its clock is read again by a
# reset, so that it is later than the golden's by the time between.
TSC, TIMER_COUNT = 0x10, 0x390
# The LAPIC's PPR follows from its TPR and its ISR. KVM_SET_LAPIC computes it with the ISR that was there before; KVM
# computes it anew before the guest reads it, and before it decides on an interrupt.
PPR = 0xA0
# Tags of state tables (tests/golden/schema-x86_64.txt).
LAPIC, MSR, MSR_INDEX, MSR_DATA, CLOCK = 11, 14, 1, 2, 1
# What the guest does in a life, in turn: {port} is of a server on the host that reads what comes.
WORK = (
    "sh head -c 300000 /dev/urandom >/data/scribble; sync",
    "sh head -c 200000 /dev/urandom | nc 10.0.2.2 {port}",
    "mem 6",
    "sh rm -rf /data/*; sync; echo 3 >/proc/sys/vm/drop_caches",
    "sh (sleep 0.05; echo late) & nc 10.0.2.2 {port} </dev/zero & sleep 0.1",
)


def taken_back_exactly(host):
    golden = host.path("golden.torpor")
    port = serve()
    guest = lab.Guest.boot(host, "origin", *DEBIAN, *DISK, "-m", f"{MEMORY}M", "--net", "user")
    guest.say("sh until ip addr show eth0 | grep -q 'inet '; do sleep 0.1; done")
    nonce = guest.say("nonce")
    # Flat: nothing is still to come when memory is compared.
    guest.save(golden, "--flat")
    guest = lab.Guest.wake(host, "golden", golden, "--golden", "--paused")
    control = Control(host, "golden")
    control.ask(do="reset")
    first = everything(host, control)
    differs, start = [], time.monotonic()
    for i in range(RESETS):
        control.ask(do="unpause")
        guest.say(WORK[i % len(WORK)].format(port=port))
        control.ask(do="pause")
        control.ask(do="reset")
        now = everything(host, control)
        differs += [f"reset {i}: {part}: {difference(was, now.get(part, b''))}"
                    for part, was in first.items() if now.get(part) != was]
    ok(f"{RESETS} resets: memory, disk and state of CPUs, chips and devices are the golden's after each",
       not differs and len(first) > 10, "\n".join(differs[:20]))
    note(f"{(time.monotonic() - start) / RESETS:.2f} s for each, with what the guest does and its comparison")
    control.ask(do="unpause")
    ok("and it is the same guest", guest.say("nonce") == nonce)
    ok("whose disk is whole", guest.say("fsck") == "clean")
    guest.kill()
    host.run("rm", golden)


def serve():
    """A server on the host that reads until the other side ends; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drain(peer):
        with peer:
            try:
                while peer.recv(65536):
                    pass
            except ConnectionResetError:
                pass

    def accept():
        while True:
            threading.Thread(target=drain, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Control:
    """The control socket of a machine (host/protocol.h)."""

    def __init__(self, host, name):
        folder = f"{host.directory}/runtime_dir/torpor/{name}"
        with open(f"{folder}/pid") as f:
            self.pid = int(f.read())
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{folder}/control")

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            part = self.socket.recv(65536)
            if not part:
                raise lab.Failure(f"no answer to {request}")
            reply += part
        reply = json.loads(reply)
        if not reply["ok"]:
            raise lab.Failure(f"{request}: {reply['error']}")
        return reply


def everything(host, control):
    """A paused machine's memory, what its file says of its disk, and each section of its state. It gets the same
    generation id each time, for each reset draws another one."""
    control.ask(do="seed", seed=SEED)
    found = {"memory": memory(control.pid)}
    file = host.path("now.torpor")
    host.torpor("save", "-R", "golden", "--parent", host.path("golden.torpor"), "-o", file)
    with tarfile.open(file) as tar:
        # Friendly links to blobs, whose names are digests.
        found.update({m.name: m.linkname.encode() for m in tar if m.issym() and m.name.startswith("disk.")})
        state = tar.extractfile("state").read()
    found.update({name: standing(name, payload) for name, payload in sections(state)})
    host.run("rm", file)
    return found


def memory(pid):
    """The guest's RAM is the run of adjacent mappings of its size. What a reset keeps of the file is as large, and is
    kept out of huge pages."""
    with open(f"/proc/{pid}/smaps") as f:
        maps = [tuple(int(n, 16) for n in found[:2])
                for found in re.findall(r"^(\w+)-(\w+) .*?^VmFlags:(.*?)$", f.read(), re.MULTILINE | re.DOTALL)
                if " nh" not in found[2]]
    for i, (start, _) in enumerate(maps):
        for j in range(i, len(maps)):
            if j > i and maps[j][0] != maps[j - 1][1]:
                break
            if maps[j][1] - start == MEMORY * MIB:
                with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
                    f.seek(start)
                    return f.read(MEMORY * MIB)
    raise lab.Failure("the guest's RAM is not among the mappings")


def difference(was, now):
    """Where two parts differ: the first bytes that do."""
    if len(was) != len(now):
        return f"{len(was)} bytes became {len(now)}"
    page = next(at for at in range(0, len(was), 4096) if was[at:at + 4096] != now[at:at + 4096])
    places = [at for at in range(page, min(page + 4096, len(was))) if was[at] != now[at]]
    pages = sum(was[at:at + 4096] != now[at:at + 4096] for at in range(0, len(was), 4096))
    return f"{pages} pages; from {places[0]:#x} on {len(places)} bytes: " + \
        ", ".join(f"{at:#x} {was[at]:02x} {now[at]:02x}" for at in places[:8])


def sections(state):
    """(name, payload) of each section; torpor(5), STATE BLOB."""
    count, at = struct.unpack_from("<I", state, 12)[0], 16
    for _ in range(count):
        name_length, _, length = struct.unpack_from("<HHI", state, at)
        at += 8 + name_length
        yield state[at - name_length:at].decode(), state[at:at + length]
        at += length


def fields(payload):
    at = 0
    while at < len(payload):
        tag, _, _, length = struct.unpack_from("<HBBI", payload, at)
        yield tag, at + 8, length
        at += 8 + length


def standing(name, payload):
    """A section without what goes on while the machine stands, and without what KVM derives later."""
    payload = bytearray(payload)
    for tag, at, length in fields(payload):
        if name.startswith("vcpu") and tag == LAPIC:
            for register in (PPR, TIMER_COUNT):
                payload[at + register:at + register + 4] = bytes(4)
        elif name.startswith("vcpu") and tag == MSR:
            clear_tsc(payload, at, at + length)
        elif name == "vm" and tag == CLOCK:
            payload[at:at + length] = bytes(length)
    return bytes(payload)


def clear_tsc(payload, at, end):
    while at < end:
        length, = struct.unpack_from("<I", payload, at)
        msr = {tag: (at + 4 + place, size) for tag, place, size in fields(payload[at + 4:at + 4 + length])}
        place, _ = msr[MSR_INDEX]
        if struct.unpack_from("<I", payload, place)[0] == TSC:
            place, size = msr[MSR_DATA]
            payload[place:place + size] = bytes(size)
        at += 4 + length


if __name__ == "__main__":
    sys.exit(suite.main([taken_back_exactly], hosts=1))
