#!/usr/bin/python3
"""Damage to .torpor files, and what the program says to it.

    damage.py regions FILE                 its regions: NAME OFFSET LENGTH
    damage.py edit FILE OUT CODE           run CODE over the config `c` and the manifest `m`, repair all
                                           digests above them, and write the archive anew
    damage.py flips TORPOR FILE N [SEED]   flip a random bit N times, spread over the regions; each time
                                           `verify` must refuse the file, by one line

Regions of the last are all bytes of the file: headers, contents and padding of each member, and the end.
"""
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile

INTEGRITY, INCOMPATIBLE = 121, 120
PATIENCE = 600  # seconds, for what hangs


def regions(path):
    with tarfile.open(path) as tar:
        roles = {os.path.basename(m.linkname): m.name for m in tar if m.issym()}
        end = 0
        for member in tar:
            name = roles.get(os.path.basename(member.name), member.name)
            data_end = member.offset_data + (member.size if member.isreg() else 0)
            next_header = (data_end + 511) // 512 * 512
            yield f"header:{name}", member.offset, member.offset_data - member.offset
            if data_end > member.offset_data:
                kind = "padding" if name.startswith(".align/") else "content"
                yield f"{kind}:{name}", member.offset_data, data_end - member.offset_data
            if next_header > data_end:
                yield f"padding:{name}", data_end, next_header - data_end
            end = next_header
    size = os.path.getsize(path)
    if size > end:
        yield "end", end, size - end


def blob_name(digest):
    return "blobs/" + digest.replace(":", "/")


def describe(data):
    return {"digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def edit(path, out, code):
    with tarfile.open(path) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isreg() and m.name[0] != "."}
    index = json.loads(files["index.json"])
    m = json.loads(files.pop(blob_name(index["manifests"][0]["digest"])))
    c = json.loads(files.pop(blob_name(m["config"]["digest"])))
    exec(code, {"c": c, "m": m, "files": files})
    config = json.dumps(c, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    m["config"].update(describe(config))
    manifest = json.dumps(m).encode()
    index["manifests"][0].update(describe(manifest))
    files["index.json"] = json.dumps(index).encode()
    for data in (config, manifest):
        files[blob_name(describe(data)["digest"])] = data
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def verdict(torpor, path):
    """'refused', 'passed', or what was wrong with how the program took it."""
    done = subprocess.run([torpor, "verify", path], capture_output=True, text=True, timeout=PATIENCE)
    lines = done.stderr.splitlines()
    if done.returncode == 0 and not lines:
        return "passed"
    if done.returncode not in (INTEGRITY, INCOMPATIBLE):
        return f"status {done.returncode}: {done.stderr.strip()}"
    if len(lines) != 1 or not lines[0].startswith("torpor: verify: "):
        return f"not one line: {done.stderr!r}"
    return "refused"


def flips(torpor, path, count, seed):
    """Every bit counts, those of the padding too. The file is as before afterwards, and passes."""
    rng = random.Random(seed)
    places = list(regions(path))
    refused = 0
    with open(path, "r+b", buffering=0) as f:
        for i in range(count):
            # Half of them by region, so that small ones get their share; half by the byte.
            if i % 2 == 0:
                name, start, length = places[i // 2 % len(places)]
            else:
                name, start, length = rng.choices(places, [p[2] for p in places])[0]
            offset, bit = start + rng.randrange(length), 1 << rng.randrange(8)
            old = os.pread(f.fileno(), 1, offset)
            os.pwrite(f.fileno(), bytes([old[0] ^ bit]), offset)
            result = verdict(torpor, path)
            os.pwrite(f.fileno(), old, offset)
            refused += result == "refused"
            if result != "refused":
                print(f"offset {offset}, bit {bit:#x}, in {name}: {result}")
    print(f"{refused} of {count} flips were refused")
    return refused == count and verdict(torpor, path) == "passed"


def main(verb, *args):
    if verb == "regions":
        for name, start, length in regions(*args):
            print(name, start, length)
    elif verb == "edit":
        edit(*args)
    elif verb == "flips":
        seed = args[3] if len(args) > 3 else "torpor"
        sys.exit(not flips(args[0], args[1], int(args[2]), seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
