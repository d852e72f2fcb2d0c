"""OCI image layouts made of folders' and texts' contents, for `torpor build --from oci:`."""

import gzip
import hashlib
import io
import json
import os
import tarfile


class Layer:
    """A tar of its own; add() in the order in which it is to be unpacked."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, path, data=b"", mode=0o644, type=tarfile.REGTYPE, link="", uid=0, gid=0):
        entry = tarfile.TarInfo(path)
        entry.size = len(data) if type == tarfile.REGTYPE else 0
        entry.mode, entry.type, entry.linkname, entry.uid, entry.gid = mode, type, link, uid, gid
        self.tar.addfile(entry, io.BytesIO(data) if entry.size else None)

    def folder(self, path, mode=0o755, **owner):
        self.add(path, mode=mode, type=tarfile.DIRTYPE, **owner)

    def link(self, path, target):
        self.add(path, mode=0o777, type=tarfile.SYMTYPE, link=target)

    def tree(self, root):
        """All that is below a folder, as root's."""
        for where, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(where, name)
                entry = self.tar.gettarinfo(path, os.path.relpath(path, root))
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                if entry.isreg():
                    with open(path, "rb") as file:
                        self.tar.addfile(entry, file)
                else:
                    self.tar.addfile(entry)

    def end(self):
        self.tar.close()
        return self.bytes.getvalue()


def write(folder, layers, config):
    """An image with the tag `latest`. `config` has the names of the specification (Entrypoint, Cmd, …)."""
    write_all(folder, {"amd64": layers}, config)


def write_all(folder, layers, config):
    """The same for several architectures under one name: the layers of each."""
    blobs = os.path.join(folder, "blobs/sha256")
    os.makedirs(blobs)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest, "size": len(data)}

    def image(architecture, plain):
        diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in plain]
        packed = [blob(gzip.compress(data, 1, mtime=0), "layer.v1.tar+gzip") for data in plain]
        text = {"architecture": architecture, "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": blob(json.dumps(text).encode(), "config.v1+json"), "layers": packed}
        return dict(blob(json.dumps(manifest).encode(), "manifest.v1+json"),
                    platform={"os": "linux", "architecture": architecture})

    images = [image(name, [layer.end() for layer in those]) for name, those in layers.items()]
    entry = images[0]
    if len(images) > 1:
        entry = blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                 "manifests": images}).encode(), "index.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
    with open(os.path.join(folder, "oci-layout"), "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')
