"""What the rows of `make bench` share: one table, homes of machines, and the clocks."""
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
TORPOR = os.environ.get("TORPOR", os.path.join(ROOT, "build-release/torpor"))
TINY = os.path.join(BUILD, "images/tiny.elf")
BIN = os.path.join(BUILD, "tests/bench")
ROUNDS = 31

rows = []


def row(what, torpor, other="", figure="", target="", met=None):
    """`met` is None where there is no target."""
    rows.append((what, torpor, other, figure, target, {None: "", True: "yes", False: "NO"}[met]))
    print(" | ".join(rows[-1]), flush=True)


def missed():
    return any(r[5] == "NO" for r in rows)


def markdown(path):
    with open(path, "w") as f:
        f.write("| | torpor | other | figure | target | met |\n|---|---|---|---|---|---|\n")
        for r in rows:
            f.write("| " + " | ".join(r) + " |\n")


def in_the_lab(program, copy):
    """What a program of this folder measures with a copy of torpor, here or in the lab: the JSON of its last
    line, {} when it failed. A copy, so that a build going on beside does not change what is measured."""
    torpor = os.path.join(BUILD, "lab-bin", copy)
    os.makedirs(os.path.dirname(torpor), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "build-release/torpor"), torpor)
    command = [os.path.join(ROOT, "tests/bench", program), torpor]
    where = subprocess.run([os.path.join(ROOT, "tests/lab/have-kvm")], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, check=False).stdout.strip()
    if where != "kvm":
        command = [os.path.join(ROOT, "tests/lab/lab"), "--mem", "4096", "--timeout", "900", "--", *command]
    out = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False)
    return json.loads((out.stdout.splitlines() or ["{}"])[-1])


def compile_helpers():
    """The floor programs and the preload are bench's own: built here, with the plain compiler."""
    os.makedirs(BIN, exist_ok=True)
    src = os.path.join(ROOT, "tests/bench")
    for name, extra in (("floor", []), ("forkpause", []), ("link", []), ("hashwrite", ["-lcrypto"]),
                        ("packloop", ["-lzstd", "-lcrypto", "-lpthread"])):
        subprocess.run(["gcc", "-O2", "-Wall", "-D_GNU_SOURCE", "-o", f"{BIN}/{name}", f"{src}/{name}.c", *extra], check=True)
    for name in ("first_exit", "kvm_calls"):
        subprocess.run(["gcc", "-O2", "-Wall", "-I", ROOT, "-shared", "-fPIC", "-o", f"{BIN}/{name}.so", f"{src}/{name}.c"],
                       check=True)


class Home:
    """Folders of a user of our own."""

    def __init__(self, path):
        self.path = path
        self.env = dict(os.environ)
        for name in ("RUNTIME_DIR", "STATE_HOME", "DATA_HOME", "CACHE_HOME"):
            # The runtime folder is on a tmpfs, as on every system that sets XDG_RUNTIME_DIR.
            folder = os.path.join(path if name != "RUNTIME_DIR" else path.replace("/tmp", "/dev/shm", 1), name)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self.env["XDG_" + name] = folder

    def run(self, *args, **kw):
        return subprocess.run([TORPOR, *args], env=self.env, check=True, text=True,
                              stdout=subprocess.PIPE, **kw).stdout

    def end_all(self):
        for name in self.run("ps", "-q").split():
            subprocess.run([TORPOR, "kill", name], env=self.env)

    def wait_for(self, name, text, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.run("logs", name):
                return
            time.sleep(0.02)
        sys.exit(f"bench: {name} did not say {text!r}")

    def file(self, name):
        return os.path.join(self.path, name)

    def make_live(self, name, mib):
        """A flat live appliance of the tiny kernel with `mib` MiB of RAM, in a loop of port accesses: woken, it
        exits after a few instructions, as the floor's guest does."""
        path = os.path.join(self.path, name + ".torpor")
        self.run("run", "-d", "--name", name, "--kernel", TINY, "-m", f"{mib}M", "--append", "bench")
        self.wait_for(name, ".")
        self.run("save", name, "--flat", "-o", path)
        return path


class Control:
    """The control socket of a machine (host/protocol.h)."""

    def __init__(self, home, name):
        self.path = os.path.join(home.env["XDG_RUNTIME_DIR"], "torpor", name, "control")
        self.socket = self.connect()

    def connect(self):
        end = time.monotonic() + 60
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.path)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > end:
                    sys.exit(f"bench: nobody is at {self.path}")
                time.sleep(0.02)

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            reply += self.socket.recv(65536) or sys.exit(f"bench: {self.path}: no answer to {request}")
        reply = json.loads(reply)
        if not reply["ok"]:
            sys.exit(f"bench: {request}: {reply['error']}")
        return reply

    def type(self, *lines, answers=True):
        """Lines for the guest, each after the answer to the one before; the last answer."""
        found = None
        console = self.connect()
        console.sendall(b'{"do":"console"}\n')
        console.recv(64)
        for line in lines:
            console.sendall(line.encode() + b"\n")
            answer = re.compile(rb"^%s\w* .*\n" % line.split()[0].encode(), re.MULTILINE)
            seen = b""
            while answers and not (found := answer.search(seen)):
                seen += console.recv(4096) or sys.exit(f"bench: no answer to {line}")
        if not answers:
            time.sleep(0.2)  # until it has reached the serial port
        console.close()
        return found and found.group().decode()


def first_exit(argv, env):
    """Milliseconds from exec to the first return from the guest."""
    with tempfile.NamedTemporaryFile() as stamp:
        stamp.write(bytes(8))
        stamp.flush()
        env = dict(env, LD_PRELOAD=f"{BIN}/first_exit.so", FIRST_EXIT_FILE=stamp.name)
        start = time.monotonic_ns()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
        said = child.stderr.read().decode()
        child.stderr.close()
        stamp.seek(0)
        (when,) = struct.unpack("<q", stamp.read(8))
    if when == 0:
        sys.exit(f"bench: no guest exit from {' '.join(argv)}: {said[-300:]}")
    return (when - start) / 1e6


def in_turn(commands, env, rounds=ROUNDS):
    """Median milliseconds to the first exit of each command, taken round by round, and medians of what the first
    takes more than each other one."""
    times = [[] for _ in commands]
    for i in range(rounds + 1):
        for slot, argv in zip(times, commands):
            ms = first_exit(argv, env)
            if i > 0:
                slot.append(ms)
    # The difference is taken pair by pair: the machine's speed drifts.
    more = [statistics.median(a - b for a, b in zip(times[0], slot)) for slot in times[1:]]
    return [statistics.median(slot) for slot in times], more
