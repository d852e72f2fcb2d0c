"""Rows about registries: push and pull against curl, and waking while the appliance is fetched.

The registry is docker-registry on this host. Waking goes through a link of a limited rate and delay (link.py).
"""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

import packed
from bench import TINY, TORPOR, Control, row
from link import Link

DISK_MIB = 256
ROUNDS = 5
MBIT, RTT_MS = 200, 20
LOADS = 4  # of 20 MiB
QUESTION, ANSWER = "memsum 20 1", b"memsum "


class Registry:
    """docker-registry with an empty store."""

    def __init__(self, folder):
        if shutil.which("docker-registry") is None:
            sys.exit("bench: docker-registry is not installed")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder = folder
        os.makedirs(folder)
        config = os.path.join(folder, "config.yml")
        with open(config, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
                    f'http: {{addr: "127.0.0.1:{self.port}"}}\n')
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}/v2/"
        while subprocess.run(["curl", "-s", "-o", os.devnull, self.url], check=False).returncode:
            time.sleep(0.05)

    def ref(self, name, port=None):
        return f"docker://127.0.0.1:{port or self.port}/{name}"

    def blobs(self, name):
        request = urllib.request.Request(f"{self.url}{name}/manifests/latest",
                                         headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        with urllib.request.urlopen(request) as answer:
            manifest = json.load(answer)
        return [manifest["config"], *manifest["layers"]]

    def end(self):
        self.process.terminate()
        self.process.wait()


def forget_store(home):
    shutil.rmtree(os.path.join(home.env["XDG_DATA_HOME"], "torpor", "oci"), ignore_errors=True)


def seconds(call, *args):
    start = time.monotonic()
    call(*args)
    return time.monotonic() - start


def curl(*args):
    return subprocess.run(["curl", "-sS", "--fail", *args], check=True, text=True, stdout=subprocess.PIPE).stdout


def curl_pull(registry, name, folder):
    """And out to the disk, as what is in the store must be."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    curl("-Z", "--no-progress-meter", *(a for b in registry.blobs(name)
                 for a in ("-o", os.path.join(folder, b["digest"].split(":")[1]),
                           f"{registry.url}{name}/blobs/{b['digest']}")))
    subprocess.run(["sync", *(os.path.join(folder, f) for f in os.listdir(folder))], check=True)


def curl_push(registry, name, folder):
    """One after the other, as curl does."""
    for digest in os.listdir(folder):
        answer = curl("-i", "-X", "POST", "-d", "", f"{registry.url}{name}/blobs/uploads/")
        place = next(line.split(": ", 1)[1] for line in answer.splitlines() if line.lower().startswith("location:"))
        curl("-X", "PUT", "-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", os.path.join(folder, digest),
             f"{place}&digest=sha256:{digest}")


def bench_transfer(home, registry):
    """Bytes that do not pack."""
    disk, file, folder = home.file("random.img"), home.file("random.torpor"), home.file("curl")
    with open(disk, "wb") as f:
        for _ in range(DISK_MIB):
            f.write(os.urandom(1 << 20))
    home.run("run", "-d", "--name", "transfer", "--kernel", TINY, "-m", "32M", "--disk", disk + ",ro")
    home.wait_for("transfer", "READY")
    home.run("save", "transfer", "-o", file)
    pushes, pulls = [], []
    for i in range(ROUNDS):
        mine = seconds(home.run, "push", file, registry.ref(f"mine{i}"))
        forget_store(home)
        pull = seconds(home.run, "pull", registry.ref(f"mine{i}"))
        their_pull = seconds(curl_pull, registry, f"mine{i}", folder)
        shutil.rmtree(os.path.join(registry.folder, "data"))
        theirs = seconds(curl_push, registry, f"theirs{i}", folder)
        shutil.rmtree(os.path.join(registry.folder, "data"))
        pushes.append((mine, theirs))
        pulls.append((pull, their_pull))
    for what, other, times in (("push", "curl", pushes), ("pull", "curl and sync", pulls)):
        ratio = statistics.median(b / a for a, b in times)
        row(f"{what} {DISK_MIB} MiB, docker-registry on this host",
            f"{statistics.median(a for a, _ in times):.2f} s", f"{other} {statistics.median(b for _, b in times):.2f} s",
            f"{ratio:.2f}×", "≥ 0.9×", ratio >= 0.9)


def make_warm(home):
    """80 MiB of programs in memory, and a question in the serial port, for which a hot set was made."""
    disk, cold, warm = home.file("wire.img"), home.file("wire-cold.torpor"), home.file("wire.torpor")
    packed.make_disk(disk)
    home.run("run", "-d", "--name", "wire", "--kernel", TINY, "-m", "512M", "--disk", disk + ",ro")
    home.wait_for("wire", "READY")
    machine = Control(home, "wire")
    machine.type(*(f"dload 0 {37 * i} {packed.FIRST_MIB + 20 * i} 20" for i in range(LOADS)))
    machine.ask(do="pause")
    machine.type(QUESTION, answers=False)
    home.run("save", "wire", "--full", "-o", cold)
    home.run("warm", cold, "--until", ANSWER.decode(), "-o", warm, stderr=subprocess.DEVNULL)
    return warm


def answer_ms(home, *path):
    return packed.first_answer(home, path, lambda: None, False)


def by_wire(home, registry, link, port):
    forget_store(home)
    link.forget()
    # Without that a registry on this host is asked first whether it speaks TLS.
    ms = answer_ms(home, registry.ref("wire", port), "--plain-http")
    return ms, link.bytes, link.connections, link.turns


def bench_waking(home, registry):
    warm = make_warm(home)
    home.run("push", warm, registry.ref("wire"))
    blobs = registry.blobs("wire")
    hot = sum(b["size"] for b in blobs if b["mediaType"].endswith(".hot.v1"))
    size = sum(b["size"] for b in blobs)
    link = Link(registry.port, MBIT, RTT_MS)
    wired, local, pulled = [], [], []
    for _ in range(ROUNDS):
        local.append(answer_ms(home, warm))
        wired.append(by_wire(home, registry, link, link.port))
        forget_store(home)
        pulled.append(1e3 * seconds(home.run, "pull", "--plain-http", registry.ref("wire", link.port)) +
                      answer_ms(home, registry.ref("wire", link.port)))
    ms = statistics.median(w[0] for w in wired)
    own = statistics.median(local)
    floor = hot / (MBIT * 125000) * 1e3 + 4 * RTT_MS
    row(f"resume REF to first answer, {MBIT} Mbit/s, {RTT_MS} ms, beyond that of the file", f"{ms - own:.0f} ms",
        f"hot set {hot >> 10} KiB ÷ rate + 4 round trips {floor:.0f} ms", f"{(ms - own) / floor:.2f}×", "≤ 1.15×",
        ms - own <= 1.15 * floor)
    whole = statistics.median(pulled)
    row("  against pull, then resume", f"{ms:.0f} ms", f"{whole:.0f} ms", f"{ms / whole:.2f}×")
    got = statistics.median(w[1] for w in wired)
    row("  what has come by then", f"{got / 1048576:.1f} MiB",
        f"of {size / 1048576:.1f} MiB, on {statistics.median(w[2] for w in wired):.0f} connections, "
        f"{statistics.median(w[3] for w in wired):.0f} requests", f"{100 * got / size:.0f} %")


def bench_wire(home):
    registry = Registry(home.file("registry"))
    try:
        bench_transfer(home, registry)
        bench_waking(home, registry)
    finally:
        registry.end()
