#!/usr/bin/python3
"""A second reader of .torpor files, written from torpor(5) alone: what the page says suffices.

    reader.py FILE [PARENT...]              everything in FILE as JSON, after every check
    reader.py -o DIR FILE [PARENT...]       and memory.N.raw and disk.N.raw into DIR
"""
import base64, hashlib, json, os, re, struct, subprocess, sys, tarfile

FRAME, TYPE = 65536, "application/vnd.torpor."
NAMED = {"kernel": "kernel", "initrd": "initrd", "state": "state", ".map": "map", ".hashes": "hashes"}
OTHER = ["flat", "packed", "hot", "hotlist", "signature"]

def need(truth, what):
    if not truth:
        sys.exit(f"reader: {what}")

def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()

def cut(data, size=FRAME):
    need(len(data) % size == 0, "a list or part is not whole")
    return [data[i:i + size] for i in range(0, len(data), size)]

def parse(data):
    def once(pairs):
        need(len(dict(pairs)) == len(pairs), "JSON: a member occurs twice")
        return dict(pairs)
    return json.loads(data.decode(), object_pairs_hook=once)

def members(path, data):
    """TAR: name -> (offset, bytes) of every file; fillers are looked at and left out."""
    found, names = {}, set()
    with tarfile.open(path, "r:") as tar:
        for m in tar:
            name, body = re.sub(r"^(\./)+", "", m.name), data[m.offset_data:m.offset_data + m.size]
            need(m.isreg() or m.issym() or m.isdir(), f"tar: type of {name}")
            if name.startswith(".align/"):
                need(not any(body), f"tar: {name} is not zero")
                continue
            need(name not in names, f"tar: {name} occurs twice")
            names.add(name)
            if m.isreg():
                found[name] = (m.offset_data, body)
        need(1024 <= len(data) - tar.offset <= 1 << 20 and not any(data[tar.offset:]), "tar: its end")
    return found

def state(data):
    """STATE BLOB: [section, version, fields by tag]."""
    at, sections = 16, []
    need(data[:12] == b"TORPORST\1\0\0\0", "state: header")
    for _ in range(int.from_bytes(data[12:16], "little")):
        name, version, size = struct.unpack_from("<HHI", data, at)
        at += 8 + name + size
        sections.append([data[at - name - size:at - size].decode("ascii"), version, fields(data[at - size:at])])
    need(at == len(data) and len({s[0] for s in sections}) == len(sections), "state: sections")
    return sections

def fields(data):
    found, last = {}, -1
    while data:
        tag, width, zero, size = struct.unpack_from("<HBBI", data)
        body, data = data[8:8 + size], data[8 + size:]
        need(tag > last and zero == 0 and width in (0, 1, 2, 4, 8) and len(body) == size, "state: a field")
        last, found[tag] = tag, [int.from_bytes(n, "little") for n in cut(body, width)] if width else []
        while width == 0 and body:
            end = 4 + int.from_bytes(body[:4], "little")
            found[tag].append(fields(body[4:end]))
            body = body[end:]
    return found

def signature(text):
    lines = text.decode().splitlines()
    one, two = base64.b64decode(lines[1], validate=True), base64.b64decode(lines[3], validate=True)
    need((len(lines), len(one), len(two)) == (4, 74, 64) and one[:2] in (b"ED", b"Ed"), "signature")
    return {"key": one[9:1:-1].hex().upper(), "comment": lines[2].removeprefix("trusted comment: ")}

def unpack(part):
    """A packed part: each frame is decompressed on its own."""
    n, flags, magic = struct.unpack("<IBI", part[-9:])
    entry, at, frames = 12 if flags & 0x80 else 8, 0, []
    table = len(part) - 9 - n * entry - 8
    need(magic == 0x8F92EAB1 and flags & 0x7c == 0, "seek table: its end")
    need(struct.unpack_from("<II", part, table) == (0x184D2A5E, n * entry + 9), "seek table: its header")
    for i in range(n):
        packed, flat = struct.unpack_from("<II", part, table + 8 + i * entry)
        frames.append(subprocess.run(["zstd", "-dcq"], input=part[at:at + packed], stdout=-1, check=True).stdout)
        need(len(frames[-1]) == flat == FRAME and 0 < packed <= 66560, "a packed frame")
        at += packed
    need(at == table, "seek table: sizes")
    return frames

class Image:
    """IMAGES: a map, its parts, hash list and hot set, all frames checked. self.kind is (kind, place) by frame."""
    def __init__(self, role, file):
        data, self.kind, place, counts = file(role + ".map"), [], 0, {1: 0, 2: 0, 3: 0}
        magic, version, extents, self.size, total = struct.unpack_from("<8sIIQQ", data)
        need((magic, version, len(data)) == (b"TORPORMP", 1, 32 + 24 * extents), f"{role}: map")
        for first, n, kind, where in struct.iter_unpack("<QIIQ", data[32:]):
            need(first == len(self.kind) and n > 0 and where == (place if kind == 1 else 0), f"{role}: extent")
            need(kind in counts and (first == 0 or self.kind[-1][0] != kind), f"{role}: kind of an extent")
            self.kind += [(kind, where + i) for i in range(n)]
            counts[kind], place = counts[kind] + n, place + (n if kind == 1 else 0)
        need(len(self.kind) == -(-self.size // FRAME) and place == total, f"{role}: extents do not tile it")
        roles = [f"{role}.{k}" for k in range(96) if f"{role}.{k}" in file.kinds]
        kinds = sorted({file.kinds[r] for r in roles}) or ["flat"]
        parts = [unpack(file(r)) if kinds == ["packed"] else cut(file(r)) for r in roles]
        need(len(kinds) == 1 and len({len(p) for p in parts[:-1]} | {0}) <= 2, f"{role}: parts")
        self.data = [f for part in parts for f in part]
        need([hashlib.sha256(f).digest() for f in self.data] == cut(file(role + ".hashes"), 32), f"{role}: hashes")
        order = [int.from_bytes(p, "little") for p in cut(file(role + ".hotlist"), 8)]
        need([self.data[p] for p in order] == cut(file(role + ".hot")) and place == len(self.data), f"{role}: frames")
        self.facts = {"encoding": kinds[0], "bytes": self.size, "hot": order,
                      "frames": {"data": counts[1], "zero": counts[2], "parent": counts[3]}}

class Appliance:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.member = members(path, file.read())
        need(parse(self.member["oci-layout"][1])["imageLayoutVersion"] == "1.0.0", "oci-layout")
        ours = [(d, m) for d in parse(self.member["index.json"][1])["manifests"]
                if (m := parse(self.blob(d)))["config"]["mediaType"] == TYPE + "config.v1+json"]
        need(len(ours) == 1, "not one appliance")
        layers = {d["annotations"]["org.torpor.role"]: d for d in ours[0][1]["layers"]}
        self.layers = {"manifest": ours[0][0], "config": ours[0][1]["config"]} | layers
        need(len(self.layers) == 2 + len(ours[0][1]["layers"]), "a role occurs twice")
        self.kinds = {r: d["mediaType"].removeprefix(TYPE).removesuffix(".v1") for r, d in layers.items()}
        self.config, self.identity = parse(self("config")), sha(self("config"))
        need(re.fullmatch(r"1\.\d+", self.config["format"]), f"format {self.config['format']}")
        for role, d in layers.items():
            named, kind = NAMED.get(re.sub(r".*(?=\.)", "", role)), self.kinds[role]
            self.blob(d)
            need(re.fullmatch("[a-z][a-z0-9.-]{0,62}", role) and (kind == named or not named), f"{role}: its type")
            need(named or kind in OTHER or d["annotations"].get("org.torpor.optional") == "true", f"{role}: {kind}")
            need(self.config["contents"].get(role) == (d["digest"] if named else None), f"{role}: another is named")
        need(self.config["contents"].keys() <= layers.keys(), "something that is named is missing")
        self.live = self.config.get("live", {"increment": False})
        self.image = {r[:-4]: Image(r[:-4], self) for r, kind in self.kinds.items() if kind == "map"}

    def blob(self, d):
        data = self.member["blobs/" + d["digest"].replace(":", "/")][1]
        need((sha(data), len(data)) == (d["digest"], d["size"]), f"{d}: another digest or size")
        return data

    def __call__(self, role):
        return self.blob(self.layers[role]) if role in self.layers else b""

    def facts(self):
        where = {r: self.member["blobs/" + d["digest"].replace(":", "/")][0] for r, d in self.layers.items()}
        return {"digest": self.identity, "appliance": self.config, "state": self("state") and state(self("state")) or None,
                "signer": signature(self("signature")) if self("signature") else None,
                "entries": {r: [d["mediaType"], d["digest"], d["size"], where[r]] for r, d in self.layers.items()},
                "images": {r: image.facts for r, image in self.image.items()}}

def raw(images):
    """INCREMENTS: images from the top down; kind 3 is what is underneath."""
    for i in range(len(images[0].kind)):
        image, (kind, place) = next((m, m.kind[i]) for m in images if m.kind[i][0] != 3)
        yield (image.data[place] if kind == 1 else bytes(FRAME))[:image.size - i * FRAME]

def main(args):
    folder = args[1] if args[0] == "-o" else None
    files = [Appliance(path) for path in args[2 if folder else 0:]]
    need(all(c.live["increment"] and c.live["parent"] == p.identity for c, p in zip(files, files[1:])), "not the parent")
    if folder:
        need(not files[-1].live["increment"], "a parent is missing")
        disks = [f"disk.{n}" for n, _ in enumerate(files[0].config["disks"])]
        for role in disks + sorted({r for f in files for r in f.image if r.startswith("memory.")}):
            images = [f.image[r] for f in files for r in (role + ".overlay", role) if r in f.image]
            with open(os.path.join(folder, role + ".raw"), "wb") as out:
                out.writelines(raw(images))
    json.dump(files[0].facts(), sys.stdout)

main(sys.argv[1:])
