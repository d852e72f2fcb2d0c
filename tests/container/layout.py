"""Images of containers for tests: layers as tars, OCI layouts as folders."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

TYPES = {
    "file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE,
    "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE,
}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MODES = {"dir": 0o755, "symlink": 0o777}


def entry(kind, name, data=b"", *, target="", mode=None, uid=0, gid=0, mtime=1600000000, device=(0, 0), pax=None):
    info = tarfile.TarInfo(name)
    info.type = TYPES[kind]
    info.linkname = target
    info.mode = MODES.get(kind, 0o644) if mode is None else mode
    info.uid, info.gid, info.mtime = uid, gid, mtime
    info.devmajor, info.devminor = device
    info.pax_headers = pax or {}
    data = data if isinstance(data, bytes) else data.encode()
    info.size = len(data) if kind == "file" else 0
    return info, data


def file(name, data=b"", **more):
    return entry("file", name, data, **more)


def folder(name, **more):
    return entry("dir", name, **more)


def link(name, target, **more):
    return entry("link", name, target=target, **more)


def symlink(name, target, **more):
    return entry("symlink", name, target=target, **more)


def tar(entries, style=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style, errors="surrogateescape") as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(data, how):
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-1", "-c"], input=data, capture_output=True, check=True).stdout
    return data


class Layout:
    """An OCI layout in a folder, to which images are added."""

    def __init__(self, path):
        self.path = str(path)
        self.manifests = []
        os.makedirs(f"{self.path}/blobs/sha256", exist_ok=True)
        with open(f"{self.path}/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        self.index()

    def index(self):
        with open(f"{self.path}/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": self.manifests}, f)

    def blob(self, data, media_type):
        name = digest(data)
        with open(f"{self.path}/blobs/sha256/{name[7:]}", "wb") as f:
            f.write(data)
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    def manifest(self, layers, how="gzip", config=None, arch="amd64", media_type=None, diff_ids=None):
        """The descriptor of an image of these tars; nothing names it yet."""
        suffix = {"gzip": "+gzip", "zstd": "+zstd"}.get(how, "")
        blobs = [self.blob(pack(tar_, how), media_type or LAYER + suffix) for tar_ in layers]
        ids = diff_ids or [digest(tar_) for tar_ in layers]
        text = {"architecture": arch, "os": "linux", "config": config or {"Cmd": ["/bin/true"]},
                "rootfs": {"type": "layers", "diff_ids": ids}}
        text = self.blob(json.dumps(text).encode(), "application/vnd.oci.image.config.v1+json")
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": text,
                                     "layers": blobs}).encode(), MANIFEST)

    def add(self, descriptor, tag=None, platform=None):
        named = dict(descriptor)
        if tag:
            named["annotations"] = {"org.opencontainers.image.ref.name": tag}
        if platform:
            named["platform"] = {"os": "linux", "architecture": platform}
        self.manifests.append(named)
        self.index()
        return self


def image(path, layers, tag="t", **more):
    """A layout with one image of layers, which are lists of entries or tars."""
    layout = Layout(path)
    layout.add(layout.manifest([x if isinstance(x, bytes) else tar(x) for x in layers], **more), tag)
    return layout
