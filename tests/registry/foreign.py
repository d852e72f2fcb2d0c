#!/usr/bin/env python3
"""The cold appliance in a file as one for another architecture, in an OCI layout: foreign.py FILE ARCH FOLDER.

Only its config says so: what is in it stays. Nothing can run it, but it can be carried about."""
import hashlib
import json
import os
import sys
import tarfile

file, arch, folder = sys.argv[1:]
with tarfile.open(file) as tar:
    tar.extractall(folder)


def path(digest):
    return f"{folder}/blobs/sha256/{digest.removeprefix('sha256:')}"


def read(digest):
    with open(path(digest), "rb") as f:
        return json.load(f)


def write(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    with open(path(digest), "wb") as f:
        f.write(text)
    return {"digest": digest, "size": len(text)}


with open(f"{folder}/index.json", encoding="ascii") as f:
    index = json.load(f)
manifest = read(index["manifests"][0]["digest"])
config = read(manifest["config"]["digest"])
config["arch"] = arch
config["cpu"] = {"profile": "", **({"id_registers": {}} if arch == "aarch64" else {"vendor": "", "words": []})}
old = [manifest["config"]["digest"], index["manifests"][0]["digest"]]
manifest["config"].update(write(config))
index["manifests"][0].update(write(manifest))
with open(f"{folder}/index.json", "w", encoding="ascii") as f:
    json.dump(index, f, sort_keys=True, separators=(",", ":"))
for digest in old:
    os.unlink(path(digest))
