#!/usr/bin/env python3
"""Seeds for the fuzz targets, out of small real files.

    seeds.py OUT FILE...     OUT/TARGET/... from appliances, keys and signatures

Those of kernels, a LAN and the control protocol are made here. An appliance gives its documents, maps, state and kernel
to the targets of these, and a small copy of itself, without alignment and without most of its kernel, to the target of
whole files.
"""
import glob
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import tarfile

ROLE = "org.torpor.role"
TYPE = "application/vnd.torpor."
LAYOUT, INDEX, MANIFEST, CONFIG = b"\0", b"\1", b"\2", b"\3"  # first byte for `json`
PUBLIC, SECRET, SIGNATURE = b"\0", b"\1", b"\2"  # for `signature`


class Seeds:
    def __init__(self, out):
        self.out = out

    def add(self, target, data):
        folder = os.path.join(self.out, target)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as f:
            f.write(data)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def path_of(name):
    return "blobs/" + name.replace(":", "/")


def text(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def members(file):
    with tarfile.open(file) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar
                if m.isfile() and not m.name.startswith(".align/")}


def pack(contents):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT, bufsize=512) as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue().rstrip(b"\0") + bytes(1536)


def rounded(data):
    """Cut what tar pads to its record size down to a block and the end."""
    whole = data.rstrip(b"\0")
    return whole + bytes(-len(whole) % 512 + 1024)


def small_copy(files, manifest, config):
    """The same file with kernel and initrd of a few bytes, all digests right."""
    blobs = {}
    for layer in manifest["layers"]:
        data = files[path_of(layer["digest"])]
        if layer["mediaType"] in (TYPE + "kernel.v1", TYPE + "initrd.v1"):
            data = data[:16]
            for key in ("contents",):
                if layer["annotations"][ROLE] in config.get(key, {}):
                    config[key][layer["annotations"][ROLE]] = digest(data)
        layer["digest"], layer["size"] = digest(data), len(data)
        blobs[path_of(layer["digest"])] = data
    data = text(config)
    manifest["config"].update(digest=digest(data), size=len(data))
    blobs[path_of(digest(data))] = data
    data = text(manifest)
    index = json.loads(files["index.json"])
    index["manifests"][0].update(digest=digest(data), size=len(data))
    blobs[path_of(digest(data))] = data
    return rounded(pack({"oci-layout": files["oci-layout"], "index.json": text(index)} | blobs))


def from_appliance(seeds, file):
    files = members(file)
    index = json.loads(files["index.json"])
    manifest_text = files[path_of(index["manifests"][0]["digest"])]
    manifest = json.loads(manifest_text)
    config_text = files[path_of(manifest["config"]["digest"])]
    seeds.add("json", LAYOUT + files["oci-layout"])
    seeds.add("json", INDEX + files["index.json"])
    seeds.add("json", MANIFEST + manifest_text)
    seeds.add("json", CONFIG + config_text)
    seeds.add("client", client_of("inspect", MACHINE | {"appliance": json.loads(config_text)}))
    maps = []
    for layer in manifest["layers"]:
        data = files[path_of(layer["digest"])]
        kind = layer["mediaType"].removeprefix(TYPE).removesuffix(".v1")
        if kind == "state":
            seeds.add("arm64state" if json.loads(config_text)["arch"] == "aarch64" else "state", data)
        elif kind == "kernel":
            seeds.add("boot", kernel(data))
        elif kind == "map":
            maps.append(data)
        elif kind == "packed":
            seeds.add("seek", data)
        elif kind == "signature":
            seeds.add("signature", SIGNATURE + data)
    for upper in maps:
        for lower in maps:
            seeds.add("map", struct.pack("<H", len(upper)) + upper + lower)
    copy = small_copy(files, manifest, json.loads(config_text))
    if len(copy) <= 390000:
        seeds.add("archive", copy)


def kernel(data, memory=31, initrd=0):
    """Into 2 MiB, unless the first byte of tests/fuzz/boot.c says otherwise."""
    return struct.pack("<BBH", memory, 2, initrd) + data


def bzimage():
    """Two sectors of setup, with the header of boot protocol 2.15, and two of code."""
    setup = bytearray(1024)
    struct.pack_into("<BHIHHHH", setup, 0x1f1, 1, 0, 64, 0, 0, 0, 0xaa55)
    setup[0x200:0x202] = b"\xeb\x6a"
    struct.pack_into("<IHIHHBB", setup, 0x202, 0x53726448, 0x20f, 0, 0, 0, 0, 1)
    struct.pack_into("<IIBBHI", setup, 0x22c, 0x7fffffff, 4096, 1, 12, 1, 2047)
    struct.pack_into("<QI", setup, 0x258, 0x100000, 8192)
    return bytes(setup) + b"\x90" * 1024


def elf(entry=0x100010, high=False):
    """A PVH note and one loaded segment, half of it not in the file; and one at 4 GiB."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen", entry)
    segments = [(4, 0x200, 0, len(note), 0), (1, 0x200, 0x100000, 64, 8192)]
    if high:
        segments.append((1, 0x200, 1 << 32, 64, 64))
    head = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    for kind, at, paddr, size, memory in segments:
        head += struct.pack("<IIQQQQQQ", kind, 5, at, 0, paddr, size, memory, 0)
    return (head.ljust(0x200, b"\0") + note).ljust(0x240, b"\x90")


def tree_seeds():
    """An Image of 4 KiB that uses 1 MiB, into memory of 6 and of 2 MiB."""
    image = struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 1 << 20, 10, 0, 0, 0, b"ARMd", 0) + bytes(4032)
    for memory in (95, 31):
        for cpus, gic, initrd in ((0, 0, 0), (63, 1, 64)):
            yield struct.pack(">BBHBHH", memory, cpus, 7, gic, 0xffff, 4) + b"quiet"[:4] + struct.pack(">H", initrd) + image


def boot_seeds():
    for file in (bzimage(), elf(), elf(high=True), elf(3 << 30, high=True)):
        for memory in (31, 31 | 0x80, 0):
            yield kernel(file, memory)
            yield kernel(file, memory, 64)


def gateway_seeds():
    """Steps of tests/fuzz/gateway.c."""
    frame, dhcp, bootp, dns, crowd, discover = range(6)

    def step(what, data, port=1, later=0, station=7, name=0):
        return bytes([what | name << 4, port, later, station]) + data

    def long(data):
        return struct.pack(">H", len(data)) + data

    wish = long(b"\x32\4\n\1\0\7\x0c\3web\xff")
    question = long(b"\x12\x34\1\0\0\1" + bytes(6) + b"\3web\3lan\0\0\1\0\1")
    arp = b"\xff" * 6 + b"\2\0\0\0\0\7" + bytes.fromhex("0806000108000604000102000000000700000000") \
        + bytes(6) + b"\n\1\0\1"
    for head in (b"\0", b"\1", b"\2", b"\3"):
        yield head + step(dhcp, b"\1\0" + wish) + step(dhcp, b"\3\0" + wish) + step(dns, question)
        yield head + step(dhcp, b"\3\0" + wish) + step(dhcp, b"\4\0" + wish) + step(dhcp, b"\1\0" + wish, station=8)
        yield head + step(dhcp, b"\3\0" + wish, name=1) + step(dhcp, b"\7\7" + long(b"")) + step(dhcp, b"\x08\x09" + long(b""))
        yield head + step(crowd, b"\x7f") + step(discover, b"\x7f", port=2, station=0x80) + step(crowd, b"\x20", later=200)
        yield head + step(frame, long(arp)) + step(bootp, long(b"\1\1\6\0" + bytes(24) + b"\2\0\0\0\0\7"))


MACHINE = {"ok": True, "name": "seed", "pid": 7, "state": "running", "memory": 1 << 27, "vcpus": 2,
           "started": 1700000000, "encrypted": False,
           "base": {"digest": "sha256:" + "0" * 64, "file": "/nowhere/seed.torpor"},
           "network": [{"id": "net0", "kind": "lan", "name": "seed", "mac": "02:00:00:00:00:01", "link": True}],
           "wake": {"agent": "present", "clock": "failed", "hooks": "done", "clock-error": "no clock",
                    "ran": [{"hook": "seed", "status": 1, "output": "text"}], "asleep": 9, "seconds": 0.5}}
COUNTERS = {"frames": 1, "bytes": 2, "dropped": 3}
REPLIES = {  # to the verbs of tests/fuzz/client.c, in its order
    "wait": {"ok": True, "end": "broken", "error": "no disk"},
    "stats": {"ok": True, "uptime": 1.5, "resident": 4096, "shared": 0, "paging": {
        "frames": 9, "present": 8, "faults": 7, "filled": 6, "fault-ns-max": 5, "fault-ns-sum": 4, "fill": "idle"},
        "network": [MACHINE["network"][0] | {"sent": COUNTERS, "received": COUNTERS}]},
    "stats --json": {"ok": False, "kind": "integrity", "error": "a frame is damaged"},
    "port": {"ok": True, "ports": [{"guest": 80, "protocol": "tcp", "address": "::1", "host": 8080}]},
    "port --json": {"ok": True, "ports": []},
    "inspect": MACHINE, "resume": {"ok": True, "state": "paused"},
    "save": {"ok": True, "path": "/nowhere/seed.torpor", "bytes": 1 << 20, "seconds": 0.25, "encrypted": True},
    "save --json": {"ok": True, "path": "/nowhere/seed.torpor", "bytes": 1, "seconds": 1.0, "encrypted": False},
    "pause": {"ok": True}, "stop": {"ok": True}, "kill": {"ok": True},
    "ps": MACHINE, "ps -q": MACHINE, "ps --json": MACHINE,
    "lan ls": {"ok": True, "name": "seed", "pid": 7, "qemu": "/nowhere/qemu", "started": 1700000000,
               "dhcp": {"network": "10.1.0.0", "prefix": 24, "server": "10.1.0.1", "dns": "10.1.0.1"},
               "ports": [{"kind": "lan", "name": "seed", "macs": ["02:00:00:00:00:01"], "in": COUNTERS, "out": COUNTERS,
                          "dropped": {"full": 1, "forged": 2, "broken": 3}, "queued": 4, "stalled": True}],
               "leases": [{"address": "10.1.0.2", "mac": "02:00:00:00:00:01", "name": "seed", "seconds": 60}]},
}
REPLIES |= {"lan stats": REPLIES["lan ls"], "lan rm": REPLIES["lan ls"], "inspect --json": MACHINE, "calls": MACHINE}


def piece(data):
    return struct.pack("<H", len(data)) + data


def client_of(verb, reply):
    """The reply, whole and then cut, as one connection and as the next."""
    line = text(reply) + b"\n"
    half = len(line) // 2
    return bytes([list(REPLIES).index(verb)]) + piece(line + line[:half]) + piece(line[half:]) + piece(b"") + piece(line)


def control_seeds():
    """Requests in one piece, byte for byte, several at once, too long, and with descriptors."""
    lock = {"kind": "passphrase", "salt": "00" * 16}
    lines = [text({"do": what} | more) + b"\n" for what, more in (
        ("status", {}), ("wait", {"or-broken": True}), ("key", {"lock": lock}), ("save", {"path": "/x"}),
        ("save", {"stream": True}), ("console", {}))]
    for head in (b"\0", b"\1"):
        for line in lines:
            yield head + said(0, line + b"typed") + said(1, line)
            yield head + b"".join(said(i % 4 * 4, line[i:i + 1]) for i in range(len(line)))
        yield head + said(0, b"".join(lines[:5])) + said(7, b"") + said(5, lines[2]) + said(10, lines[4]) + said(3, b"")
        yield head + (said(11, b"") + said(0, b"\n")) * 2 + said(2, b"[" * 3000 + b"\n")
        yield head + said(11, b"") * 2


def said(who, data):
    return struct.pack("<BH", who, len(data)) + data


def from_lan(seeds):
    """A frame from each kind of port, and questions to the gateway."""
    machine, qemu, trunk, gateway = 0, 1, 2, 4
    everybody, sender = b"\xff" * 6, b"\2\0\0\0\0\1"
    arp = everybody + sender + bytes.fromhex("0806" "0001080006040001") + sender + b"\n\1\2\7" \
        + bytes(6) + b"\n\1\2\1"
    bootp = b"\1\1\6\0abcd" + bytes(20) + sender + bytes(202) + bytes.fromhex("63825363")
    discover = bootp + b"\x35\1\1\x0c\3web\xff"
    request = bootp + b"\x35\1\3\x32\4\n\1\2\7\x36\4\n\1\2\1\xff"
    question = b"\x12\x34\1\0\0\1" + bytes(6) + b"\3web\3lan\0\0\1\0\1"

    def udp(port, payload):
        size = len(payload)
        return everybody + sender + b"\x08\0\x45\0" + struct.pack(">H", 28 + size) + bytes(4) \
            + b"\x40\x11\0\0\n\1\2\7\n\1\2\1" + struct.pack(">HHHH", 4000, port, 8 + size, 0) + payload

    for frame in (arp, udp(67, discover), udp(67, request), udp(53, question)):
        native = struct.pack("<I", 12 + len(frame)) + bytes(12) + frame
        seeds.add("lan", said(gateway, frame) + said(machine, native) + said(trunk, native))
        seeds.add("lan", said(qemu, struct.pack(">I", len(frame)) + frame))
    note = b"switch 0000000000000001 d\nmachine 02:00:00:00:00:07 e\ndhcp\n"
    seeds.add("lan", said(trunk, struct.pack("<I", len(note) | 1 << 31) + note))
    large = b"\2\0\0\0\x09\2" + sender + bytes.fromhex("08004500") + bytes(4000)
    header = struct.pack("<BBHHHHH", 1, 1, 54, 1000, 34, 16, 0)
    seeds.add("lan", said(machine, struct.pack("<I", 12 + len(large)) + header + large))


def net_seeds():
    """Steps of tests/fuzz/net.c: chains on each queue, frames that arrive, pauses, resets."""
    def chain(queue, *buffers):
        out = b""
        for i, (place, size, write) in enumerate(buffers):
            flags = (2 if write else 0) | (1 if i + 1 < len(buffers) else 0)
            size >>= flags & 1  # as it is read
            out += struct.pack(">BBHHBB", queue << 4, i, place, size, flags, i + 1)
        return out + bytes([queue << 4 | 3, 0])

    sent = chain(1, (0, 12, False), (0x10, 64, False))
    buffer = chain(0, (0x4000, 2048, True))
    small = chain(0, (0x4000, 64, True), (0x4100, 128, True))
    command = chain(2, (0x30, 8, False), (0x40, 1, True))
    arrives, large, pause = b"\x08\x00\x40\x00", b"\x08\x40\x00\x00", b"\x0c\x03\x02\x00"
    for head in (b"\0\0\0\0", b"\1\0\0\0", b"\0\0\x80\0"):
        yield head + sent + sent
        yield head + buffer + arrives + pause + arrives + b"\x0d"
        yield head + small * 3 + large + arrives + pause
        yield head + command + b"\x0a" + sent + b"\x0a" + b"\x0b" + sent + b"\x1b"
        yield head + b"\x0e\x00\x70\0\0\0\0" + b"\x0f" + b"\xff" * 5 + sent + buffer + arrives


def vsock_seeds():
    """Steps of tests/fuzz/vsock.c: connections of both sides, with data, ends, and a pause."""
    def packet(op, length=0, flags=0, forwarded=0):
        return struct.pack(">BBHBBBBBHB", 0, 0, length, 1, 2, op, flags, 0, 0xffff, forwarded)

    buffers, loop, pause = b"\x03\x10\x00" * 4 + b"\x05\x00\x04", b"\x0f", b"\x0b"
    says, hears, goes = b"\x08\x01\x05hello", b"\x08\x02", b"\x08\x04"
    accepted = b"\0\0\0" + buffers + packet(1) + b"\x0a\x02" + loop
    yield accepted + packet(5, 256) + hears + says + loop + packet(6, 0, 0, 5) + packet(4, 0, 3) + loop
    yield accepted + packet(5, 0xffff) * 6 + loop + hears + loop + packet(4, 0, 2) + goes + loop
    yield accepted + says + pause + loop + goes + loop + packet(3)
    yield b"\0\0\0" + buffers + b"\x08\x00" + loop * 3 + b"\x06\x02\x00" + loop + says + loop + goes + loop


def registry_seeds():
    digest = "sha256:" + "0" * 64
    image = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 7,
             "platform": {"os": "linux", "architecture": "amd64"}}
    yield b"\0" + text({"schemaVersion": 2, "manifests": [image]})
    yield b"\0" + text({"schemaVersion": 2, "mediaType": "x", "layers": []})
    yield b"\1" + text({"live": {"increment": True, "parent": digest}})
    yield b"\2" + text({"token": "a.b", "access_token": "c", "expires_in": 300})
    yield b'\3WWW-Authenticate: Bearer realm="https://a/t",service="s",scope="repository:a:pull"\r\n'
    yield b"\3Content-Range: bytes 1-2/3\r\n"
    yield b"\4docker://h.example:5000/a/b-c:tag@" + digest.encode()
    yield b"\4bWU6c2VjcmV0"
    for path in ("/v2/", "/v2/_catalog", "/v2/a/b/manifests/v1", "/v2/a/manifests/" + digest, "/v2/a/blobs/" + digest,
                 "/v2/a/tags/list", "/v2/a/referrers/" + digest, "/v2/a/blobs/uploads/", "/a%2Fb.torpor", "bytes=1-2",
                 "bytes=-7", "bytes=9-"):
        yield b"\4" + path.encode()
    kind = "application/vnd.torpor.signature.v1"
    blob = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
    yield b"\5" + text({"schemaVersion": 2, "manifests": [image | {"artifactType": kind}, image]})
    yield b"\5" + text({"schemaVersion": 2, "artifactType": kind, "config": blob, "subject": image,
                        "layers": [{"mediaType": kind, "digest": digest.replace("0", "1"), "size": 300}]})


def arrival_seeds():
    """Maps with other numbers in them, and a machine's requests."""
    def put(at, data):
        return struct.pack(">HB", at, len(data)) + data

    def request(file, kind, start, length):
        message = struct.pack("<IIQQ", file, kind, start, length)
        return struct.pack("B", len(message)) + message

    good = b"\1\1"
    yield good
    yield good + put(16, struct.pack("<IIQ", 3, 3, 0)) + put(32, b"registry") + put(288, b"why not")
    yield good + put(8, struct.pack("<I", 2)) + put(4096, struct.pack("<QQQ", 1 << 40, 704, 1))
    yield good + put(5632, b"\xff" * 9) + put(4112, struct.pack("<Q", 4)) + put(4120, struct.pack("<I", 1) + b"no")
    yield b"\1\0\0\7"
    yield b"\0" + request(0, 1, 0, 5) + request(1, 2, 0, 1) + request(2, 3, 16384, 70000) + request(2, 2, 0, 99)
    yield b"\0" + request(3, 1, 0, 5) + request(2, 2, 1 << 63, 1 << 63) + request(0, 9, 0, 1) + b"\3abc"


def transcript_seeds():
    """Tests of ours, beside outputs that are right, wrong and hostile."""
    def piece(status, data):
        return struct.pack(">BH", status, len(data)) + data

    outputs = [b"", b"one\ntwo\n", b"out\nerr\n", b"$ x\n[1]\n<<<<<<< HEAD\n", b"a\0b\r\n\xff", b"Linux\nit is 2026\n",
               b"</pre><script>\n]]>\x1b[2J"]
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "transcripts")
    for name in sorted(glob.glob(os.path.join(folder, "**", "*.t"), recursive=True)):
        with open(name, "rb") as file:
            test = file.read()
        for turn in range(len(outputs)):
            yield struct.pack(">H", len(test)) + test + b"".join(
                piece(i % 2 * 3, outputs[(turn + i) % len(outputs)]) for i in range(6))


def layer_entry(name, kind=tarfile.REGTYPE, data=b"", target="", pax=None):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, target, len(data), pax or {}
    return info, data


def layer_tar(*entries, style=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style, bufsize=512) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return rounded(out.getvalue())


def layers_of(lower, upper):
    return b"\0" + struct.pack(">I", len(lower)) + lower + upper


def layer_seeds():
    acl = "user::rw-,user:1:r--:1,group::r--,mask::r--,other::r--"
    lower = layer_tar(layer_entry("d", tarfile.DIRTYPE), layer_entry("d/a", data=b"a" * 5000),
                      layer_entry("l", tarfile.SYMTYPE, target="/d"), layer_entry("h", tarfile.LNKTYPE, target="d/a"),
                      layer_entry("p", tarfile.FIFOTYPE),
                      layer_entry("x", pax={"SCHILY.xattr.user.a": "1", "SCHILY.acl.access": acl, "mtime": "1.5"}))
    upper = layer_tar(layer_entry("l/b", data=b"b"), layer_entry("d/.wh.a"), layer_entry("h", tarfile.DIRTYPE),
                      layer_entry("d/.wh..wh..opq"), layer_entry("n" * 200), style=tarfile.GNU_FORMAT)
    holes = layer_tar(layer_entry("s", data=b"2\n0\n1\n9000\n1\n".ljust(512, b"\0") + b"ab", pax={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "10000"}))
    yield layers_of(lower, upper)
    yield layers_of(upper, lower)
    yield layers_of(holes, gzip.compress(lower, 1, mtime=0))
    config = text({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest(lower)]},
                   "config": {"Cmd": ["a"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}}})
    yield b"\1" + config
    manifest = text({"schemaVersion": 2, "config": {"mediaType": "c", "digest": digest(config), "size": len(config)},
                     "layers": [{"mediaType": "l", "digest": digest(lower), "size": len(lower)}]})
    index = text({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
         "platform": {"os": "linux", "architecture": "amd64"}}]})
    yield b"\2" + pack({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index,
                        **{path_of(digest(blob)): blob for blob in (lower, config, manifest)}})
    listed = text([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l.tar"]}])
    yield b"\3" + pack({"manifest.json": listed, "c.json": config, "l.tar": lower})


def main(out, *files):
    seeds = Seeds(out)
    from_lan(seeds)
    for target, made in (("net", net_seeds), ("boot", boot_seeds), ("tree", tree_seeds),
                         ("gateway", gateway_seeds), ("vsock", vsock_seeds),
                         ("control", control_seeds), ("layer", layer_seeds), ("arrival", arrival_seeds)):
        for seed in made():
            seeds.add(target, seed)
    for seed in registry_seeds():
        seeds.add("registry", seed)
    for seed in transcript_seeds():
        seeds.add("transcript", seed)
    for verb, reply in REPLIES.items():
        seeds.add("client", client_of(verb, reply))
    for file in files:
        if file.endswith(".torpor"):
            from_appliance(seeds, file)
            continue
        with open(file, "rb") as f:
            data = f.read()
        kind = {".pub": PUBLIC, ".key": SECRET, ".minisig": SIGNATURE}[os.path.splitext(file)[1]]
        seeds.add("signature", kind + data)


if __name__ == "__main__":
    main(*sys.argv[1:])
