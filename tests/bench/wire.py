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
LINKS = (16, 200, 1000)  # Mbit/s
RTT_MS = 20
WAKES = 9
FRONT = 262144  # what is fetched first of a file
LOADS = 4  # of 20 MiB
LARGE_MIB = 2048
SECTORS = 2048  # what the disk has beyond a load
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


def make_warm(home, name="wire", memory=512, loads=LOADS):
    """80 MiB of programs in memory, and a question in the serial port, for which a hot set was made."""
    disk, cold, warm = (home.file(f"{name}{end}") for end in (".img", "-cold.torpor", ".torpor"))
    packed.make_disk(disk)
    home.run("run", "-d", "--name", name, "--kernel", TINY, "-m", f"{memory}M", "--disk", disk + ",ro")
    home.wait_for(name, "READY")
    machine = Control(home, name)
    machine.type(*(f"dload 0 {37 * i % SECTORS} {packed.FIRST_MIB + 20 * i} 20" for i in range(loads)))
    machine.ask(do="pause")
    machine.type(QUESTION, answers=False)
    home.run("save", name, "--full", "-o", cold)
    home.run("warm", cold, "--until", ANSWER.decode(), "-o", warm, stderr=subprocess.DEVNULL)
    return warm


def answer_ms(home, *path):
    return packed.first_answer(home, path, lambda: None, False)


def hot_blob(blobs):
    return next(b for b in blobs if b["mediaType"].endswith(".hot.v1"))


class Waking:
    """One way to wake over a link, in turn with the same file on this host and with the floor: what curl takes for the
    same hot set, in as many round trips as waking may take."""

    def __init__(self, home, what, link, local, wire, floor, floor_is):
        self.home, self.what, self.link, self.local, self.wire = home, what, link, local, wire
        self.floor, self.floor_is = floor, floor_is
        self.own, self.ms, self.curl, self.counts = [], [], [], []

    def turn(self):
        self.own.append(answer_ms(self.home, self.local))
        forget_store(self.home)
        self.link.counts()
        self.ms.append(answer_ms(self.home, *self.wire))
        self.counts.append(self.link.counts())
        self.curl.append(1e3 * seconds(curl, *self.floor))

    def beyond(self):
        """Of each turn: the machine's speed drifts."""
        return [a - b for a, b in zip(self.ms, self.own)]

    def rows(self, hot, size, has_target=True):
        beyond = sorted(self.beyond())
        ms = statistics.median(beyond)
        target = hot / (self.link.mbit * 125) + 4 * self.link.rtt_ms
        row(f"{self.what} to first answer, {self.link.mbit} Mbit/s, {self.link.rtt_ms} ms, beyond that of the file",
            f"{ms:.0f} ms", f"hot set {hot >> 10} KiB ÷ rate + 4 round trips {target:.0f} ms", f"{ms / target:.2f}×",
            *(("≤ 1.15×", ms <= 1.15 * target) if has_target else ()))
        row(f"  against curl for {self.floor_is}", f"{ms:.0f} ms", f"{statistics.median(self.curl):.0f} ms",
            f"{statistics.median(a / b for a, b in zip(self.beyond(), self.curl)):.2f}×")
        got, connections, requests = (statistics.median(c) for c in zip(*self.counts))
        row("  what has come by then", f"{got / 1048576:.1f} MiB",
            f"of {size / 1048576:.1f} MiB, on {connections:.0f} connections, {requests:.0f} requests",
            f"{100 * got / size:.0f} %", "≤ 10 %", got <= size / 10)
        row(f"  fastest and slowest of {len(beyond)}, beside a load of {os.getloadavg()[0]:.1f}",
            f"{beyond[0]:.0f} to {beyond[-1]:.0f} ms", f"curl {min(self.curl):.0f} to {max(self.curl):.0f} ms")


def registry_waking(home, registry, warm, blobs, mbit, slow=False):
    name = os.path.basename(warm).removesuffix(".torpor")
    link = Link(registry.port, mbit, RTT_MS, slow)
    url = f"http://127.0.0.1:{link.port}/v2/{name}/"
    paths = ("manifests/latest", f"blobs/{blobs[0]['digest']}", f"blobs/{hot_blob(blobs)['digest']}")
    # Without --plain-http a registry on this host is asked first whether it speaks TLS. On one connection: connecting,
    # manifest, config and hot set are four round trips.
    return Waking(home, "resume REF" + (", connections that begin slowly," if slow else ""), link, warm,
                  (registry.ref(name, link.port), "--plain-http"),
                  ("-H", "Accept: application/vnd.oci.image.manifest.v1+json",
                   *(a for path in paths for a in ("-o", os.devnull, url + path))), "the hot set, in 4 round trips")


class Server:
    """torpor serve with one file."""

    def __init__(self, home, file):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen([TORPOR, "serve", "--listen", f"127.0.0.1:{self.port}", file], env=home.env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while subprocess.run(["curl", "-s", "-o", os.devnull, f"http://127.0.0.1:{self.port}/"], check=False).returncode:
            time.sleep(0.05)

    def end(self):
        self.process.terminate()
        self.process.wait()


def file_waking(home, server, warm, hot, mbit):
    """The floor is one range: connecting, and as many bytes as the front of the file and the hot set."""
    link = Link(server.port, mbit, RTT_MS)
    url = f"http://127.0.0.1:{link.port}/{os.path.basename(warm)}"
    return Waking(home, "resume http://HOST/FILE", link, warm, (url,),
                  ("-o", os.devnull, "-r", f"0-{FRONT + hot - 1}", url), "one range of as much")


def against_pull(home, waking, registry):
    """All of it first."""
    ref = registry.ref("wire", waking.link.port)
    whole = []
    for _ in range(3):
        forget_store(home)
        whole.append(1e3 * seconds(home.run, "pull", "--plain-http", ref) + answer_ms(home, ref))
    ms, whole = statistics.median(waking.ms), statistics.median(whole)
    row("  against pull, then resume", f"{ms:.0f} ms", f"{whole:.0f} ms", f"{ms / whole:.2f}×")


def bench_waking(home, registry):
    warm = make_warm(home)
    home.run("push", warm, registry.ref("wire"))
    blobs = registry.blobs("wire")
    hot, size = hot_blob(blobs)["size"], sum(b["size"] for b in blobs)
    for mbit, slow in (*((m, False) for m in LINKS), (LINKS[-1], True)):
        waking = registry_waking(home, registry, warm, blobs, mbit, slow)
        for _ in range(WAKES):
            waking.turn()
        # The target knows nothing of slow beginnings.
        waking.rows(hot, size, not slow)
        if mbit == 200:
            against_pull(home, waking, registry)
        waking.link.end()
    server = Server(home, warm)
    try:
        waking = file_waking(home, server, warm, hot, 200)
        for _ in range(WAKES):
            waking.turn()
        waking.rows(hot, size)
        waking.link.end()
    finally:
        server.end()


def bench_large_waking(home, registry):
    """A guest of 2 GiB that is full of programs: what it has beside its hot set makes no difference."""
    warm = make_warm(home, "large", LARGE_MIB, (LARGE_MIB - 64) // 20)
    home.run("push", warm, registry.ref("large"))
    blobs = registry.blobs("large")
    size = sum(b["size"] for b in blobs)
    waking = registry_waking(home, registry, warm, blobs, LINKS[-1])
    for _ in range(WAKES):
        waking.turn()
    waking.link.end()
    ms, got = statistics.median(waking.beyond()), statistics.median(counts[0] for counts in waking.counts)
    row(f"resume REF of {LARGE_MIB} MiB to first answer, {LINKS[-1]} Mbit/s, {RTT_MS} ms, beyond that of the file", f"{ms:.0f} ms",
        target="≤ 300 ms", met=ms <= 300)
    row("  what has come by then", f"{got / 1048576:.1f} MiB", f"of {size / 1048576:.1f} MiB", f"{100 * got / size:.1f} %",
        "≤ 10 %", got <= size / 10)


def stored(registry):
    """Bytes of all blobs that the registry has."""
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(os.path.join(registry.folder, "data")) for name in names)


def bench_next(home, registry):
    """A machine of 80 MiB in which 2 MiB change, side by side, saved anew and pushed."""
    disk, first, full, increment = (home.file(f"next-{n}") for n in ("img", "first.torpor", "full.torpor", "inc.torpor"))
    packed.make_disk(disk)
    home.run("run", "-d", "--name", "next", "--kernel", TINY, "-m", "512M", "--disk", disk + ",ro")
    home.wait_for("next", "READY")
    Control(home, "next").type(*(f"dload 0 {37 * i} {packed.FIRST_MIB + 20 * i} 20" for i in range(LOADS)))
    home.run("save", "-R", "next", "--full", "-o", first)
    sizes = [stored(registry)]
    for change, options, file in (("dload 0 5 40 2", (), first), ("dload 0 5 40 2", ("--full",), full),
                                  ("dload 0 7 60 2", ("--parent", full), increment)):
        if file != first:
            Control(home, "next").type(change)
            home.run("save", "-R", "next", *options, "-o", file)
        home.run("push", file, registry.ref("next"))
        sizes.append(stored(registry))
    home.run("kill", "next")
    whole = os.path.getsize(first)
    for what, new in (("all of it", sizes[2] - sizes[1]), ("an increment", sizes[3] - sizes[2])):
        row(f"new bytes in a registry, a machine in which 2 of 80 MiB changed, {what}", f"{new / 1048576:.1f} MiB",
            f"of {whole / 1048576:.1f} MiB", f"{100 * new / whole:.1f} %")


def bench_wire(home):
    registry = Registry(home.file("registry"))
    try:
        bench_transfer(home, registry)
        bench_waking(home, registry)
        bench_large_waking(home, registry)
        bench_next(home, registry)
    finally:
        registry.end()
