"""Rows about images of containers: how long a build takes, and what its next version costs in a registry."""
import glob
import io
import os
import random
import re
import shutil
import statistics
import subprocess
import tarfile
import time

from bench import ROOT, TORPOR, row

IMAGES = os.path.join(ROOT, "build/images/container")
ROUNDS = 3


def timed(env, *commands):
    start = time.monotonic()
    for command in commands:
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def is_upgraded(name):
    return "redis" in name or name.endswith("dpkg/status")


def upgraded(data):
    """Bytes that differ in each KiB, and some more."""
    other = bytearray(data)
    for at in range(0, len(other), 997):
        other[at] = random.randrange(256)
    return bytes(other) + random.randbytes(3000 if len(data) > 4096 else 0)


def write_versions(root):
    """lower.tar, what is no part of redis; upper-1.tar and upper-2.tar, two versions of redis; all-1.tar and
    all-2.tar, both together in the order of the root."""
    random.seed(1)
    tars = {name: tarfile.open(f"{root}/{name}.tar", "w", format=tarfile.PAX_FORMAT)
            for name in ("lower", "upper-1", "upper-2", "all-1", "all-2")}
    with tarfile.open(f"{root}/root.tar") as source:
        for entry in source:
            data = source.extractfile(entry).read() if entry.isreg() else b""
            for name, tar in tars.items():
                if name[0] != "a" and (name == "lower") == is_upgraded(entry.name) and not entry.isdir():
                    continue
                mine = data
                if name.endswith("2") and is_upgraded(entry.name) and entry.isreg():
                    mine = upgraded(data)
                entry.size = len(mine)
                tar.addfile(entry, io.BytesIO(mine) if entry.isreg() else None)
    for tar in tars.values():
        tar.close()


def layout(folder, *layers):
    for command in (["init", "--layout", folder], ["new", "--image", f"{folder}:app"],
                    *(["raw", "add-layer", "--image", f"{folder}:app", layer] for layer in layers),
                    ["config", "--image", f"{folder}:app", "--config.entrypoint", "/usr/bin/redis-server"]):
        subprocess.run(["umoci", *command], check=True, stdout=subprocess.DEVNULL)


def blobs(home, file):
    said = subprocess.run([TORPOR, "inspect", file], env=home.env, check=True, capture_output=True, text=True).stdout
    return {digest: int(size) for size, digest in re.findall(r"(?m)^\S+ +(\d+)  (sha256:\w+)$", said)}


def new_bytes(home, build, root, *versions):
    """The share of the second version's bytes that a registry with the first one lacks."""
    files = []
    for number, layers in enumerate(versions):
        shutil.rmtree(f"{root}/app", ignore_errors=True)
        layout(f"{root}/app", *layers)
        files.append(f"{root}/{number}.torpor")
        subprocess.run([*build, "-o", files[-1], "--from", f"oci:{root}/app:app"], env=home.env, check=True)
    old, new = (blobs(home, file) for file in files)
    return sum(size for digest, size in new.items() if digest not in old) / sum(new.values())


def bench_build(home):
    subprocess.run([os.path.join(ROOT, "images/container/build")], check=True, stdout=subprocess.DEVNULL)
    root = os.path.join(home.path, "build")
    os.mkdir(root)
    layer = max(glob.glob(f"{IMAGES}/image/blobs/sha256/*"), key=os.path.getsize)
    kernel, = glob.glob(f"{IMAGES}/kernel/boot/vmlinuz-*")
    build = [TORPOR, "build", "--kernel", kernel, "--modules", f"{IMAGES}/kernel"]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed(home.env, [*build, "-o", f"{root}/x.torpor", "--from", f"oci:{IMAGES}/image:redis"]))
        os.mkdir(f"{root}/x")
        theirs.append(timed(home.env, ["tar", "-xzf", layer, "-C", f"{root}/x"],
                            ["/sbin/mke2fs", "-q", "-t", "ext4", "-d", f"{root}/x", f"{root}/x.ext4", "4331M"]))
        shutil.rmtree(f"{root}/x")
        os.unlink(f"{root}/x.ext4")
    mine, other = statistics.median(ours), statistics.median(theirs)
    with open(f"{root}/root.tar", "wb") as tar:
        subprocess.run(["gzip", "-dc", layer], stdout=tar, check=True)
    size = os.path.getsize(f"{root}/root.tar") >> 20
    row(f"build of a Debian with redis, {size} MiB of files in one layer, packed", f"{mine:.2f} s",
        f"tar -xzf and mke2fs -d {other:.2f} s", f"{mine / other:.2f}×", "≤ 1.5×", mine <= 1.5 * other)
    write_versions(root)
    share = new_bytes(home, build, root, *([f"{root}/lower.tar", f"{root}/upper-{n}.tar"] for n in (1, 2)))
    row("new bytes in a registry, redis upgraded in an upper layer", f"{share * 100:.1f} %", target="≤ 10 %",
        met=share <= 0.1)
    share = new_bytes(home, build, root, *([f"{root}/all-{n}.tar"] for n in (1, 2)))
    row("  all in one layer", f"{share * 100:.1f} %")
