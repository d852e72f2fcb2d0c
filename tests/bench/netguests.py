#!/usr/bin/env python3
"""Measures what net.py's rows tell: images/web under torpor and under QEMU on one host, here or in the lab.

Each VMM has two guests, A and B. A has three cards: user, tap and LAN; B has user and LAN. All are up all the time;
those of the VMM that is not measured are stopped by signals. Run by itself it prints JSON, again whenever it knows more:
for each kind of network what measure_kind() returns, torpor's first, or {"error": WHY}; and for "wake" the milliseconds.

    netguests.py TORPOR
"""
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from bench import ROOT, first_exit

IMAGE = os.path.join(ROOT, "build/images/web")
APPEND = "console=ttyS0 quiet loglevel=3 panic=-1"
KERNEL, INITRD, DISK = (os.path.join(IMAGE, f) for f in ("vmlinuz", "initrd.img", "disk.img"))
MIB = 256
IPERF, REDIS, HTTP = 5201, 6379, 80
PATIENCE, MEASURE_PATIENCE = 200, 40  # seconds for a boot, and for what is measured
SECONDS = 1  # of each iperf3
REQUESTS = 120
SEGMENT = 1448  # bytes that a packet of Ethernet's size carries
BOOTS = 3
BUDGET = 40  # seconds for each kind: on a busy machine there are fewer rounds
ROUNDS = 5
WAKES = 5
LAN, LAN_A, LAN_B = "bench", "10.97.0.1", "10.97.0.2"


class Failure(Exception):
    pass


def say(what):
    print(f"net: {what}", file=sys.stderr, flush=True)


class Machine:
    """A process with a guest in it, whose console is its standard input and output."""

    def __init__(self, name, argv, env=None):
        self.name, self.seen = name, b""
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def await_line(self, start, patience):
        """The rest of the next line that begins so."""
        end = time.monotonic() + patience
        while True:
            *lines, self.seen = self.seen.split(b"\n")
            for i, line in enumerate(lines):
                if line.startswith(start):
                    self.seen = b"\n".join([*lines[i + 1:], self.seen])
                    return line[len(start):].decode().strip()
                if line.startswith(b"error"):
                    raise Failure(f"{self.name}: {line.decode()}")
            ready, _, _ = select.select([self.child.stdout], [], [], max(0, end - time.monotonic()))
            more = os.read(self.child.stdout.fileno(), 65536) if ready else b""
            if not more:
                time.sleep(0.2)  # it may be about to end
                raise Failure(f"{self.name}: no {start.decode()}; {self.epitaph()}")
            self.seen += more

    def say(self, line):
        """Its answer, without the first word (images/README.md has the protocol)."""
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
        return self.await_line(line.split()[0].encode(), MEASURE_PATIENCE)

    def address(self, card, address):
        self.say(f"sh ip addr add {address}/24 dev {card}; ip link set {card} up")

    def epitaph(self):
        """Nothing, unless it has ended."""
        if self.child.poll() is None:
            return ""
        self.seen += self.child.stdout.read()
        return f"{self.name} ended with status {self.child.returncode}: {self.seen[-300:]!r}"

    def end(self):
        self.child.kill()
        self.child.wait()


def cpu_of(pid):
    """Seconds of CPU that a process took with all its threads, without those in the guest."""
    with open(f"/proc/{pid}/stat") as f:
        field = f.read().rpartition(")")[2].split()
    ticks = int(field[11]) + int(field[12]) - int(field[40])  # utime, stime, guest_time
    return ticks / os.sysconf("SC_CLK_TCK")


def make_tap(name, address):
    for argv in (["tuntap", "add", "dev", name, "mode", "tap"], ["addr", "add", address + "/24", "dev", name],
                 ["link", "set", name, "up"]):
        subprocess.run(["ip", *argv], check=True)


class Pair:
    """The guests A and B of one VMM. Which interface of the host and which ports are its own depends on `number`."""

    def __init__(self, name, number):
        self.name = name
        self.tap, self.net = f"torporb{number}", f"10.98.{number}"
        self.ports = {port: port + 10000 * number for port in (IPERF, REDIS)}
        self.machines = []
        self.boots = 0
        self.well = True
        self.helpers = []  # pids of other processes that carry frames

    def boot(self):
        """A guest may not live: an emulated host is not without faults."""
        for left in reversed(range(BOOTS)):
            self.boots += 1
            make_tap(self.tap, self.net + ".1")
            try:
                self.start_both()
                self.await_both()
                break
            except (Failure, OSError) as error:
                say(error)
                if left == 0:
                    raise
                self.end()
        self.well = True
        self.signal(signal.SIGSTOP)
        say(f"{self.name} is ready")

    def await_both(self):
        for machine in self.machines:
            machine.await_line(b"READY", PATIENCE)
        a, b = self.machines
        a.address("eth1", self.net + ".2")
        a.address("eth2", LAN_A)
        b.address("eth1", LAN_B)

    def signal(self, number):
        for machine in self.machines:
            machine.child.send_signal(number)

    def cpu(self):
        return sum(cpu_of(pid) for pid in [m.child.pid for m in self.machines] + self.helpers)

    def end(self):
        while self.machines:
            self.machines.pop().end()
        subprocess.run(["ip", "link", "del", self.tap], check=False, stderr=subprocess.DEVNULL)


class Torpor(Pair):
    def __init__(self, torpor, home):
        super().__init__("torpor", 1)
        self.torpor, self.home = torpor, home
        self.env = dict(os.environ, **{f"XDG_{kind}": home for kind in
                                       ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME", "DATA_HOME")})
        self.call("lan", "create", LAN)
        self.helpers.append(json.loads(self.call("lan", "stats", "--json", LAN))["pid"])

    def start_both(self):
        published = [f"-p127.0.0.1:{host}:{guest}" for guest, host in self.ports.items()]
        self.start("a", "--net", f"tap={self.tap}", "--net", f"lan={LAN}", *published)
        self.start("b", "--net", f"lan={LAN}")

    def call(self, *argv):
        return subprocess.run([self.torpor, *argv], env=self.env, stdout=subprocess.PIPE, check=True).stdout

    def start(self, name, *nets):
        self.machines.append(Machine(f"torpor {name}", [
            self.torpor, "run", "--rm", "--name", f"{name}{self.boots}", "-m", f"{MIB}M",
            "--kernel", KERNEL, "--initrd", INITRD, "--append", APPEND, "--disk", DISK, "--net", "user", *nets], self.env))

    def remove_lan(self):
        self.call("lan", "rm", "--force", LAN)


class Qemu(Pair):
    def __init__(self, home):
        super().__init__("qemu", 2)
        self.home = home

    def start_both(self):
        cable = tempfile.mktemp(dir=self.home)
        published = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for guest, host in self.ports.items())
        tap = f"tap,ifname={self.tap},script=no,downscript=no,vhost=off"
        self.start("a", "user" + published, tap, f"stream,server=on,addr.type=unix,addr.path={cable}")
        end = time.monotonic() + PATIENCE
        while not os.path.exists(cable):
            if time.monotonic() > end or self.machines[0].child.poll() is not None:
                raise Failure("qemu a does not listen")
            time.sleep(0.05)
        self.start("b", "user", f"stream,server=off,addr.type=unix,addr.path={cable}")

    def start(self, name, *nets):
        cards = []
        for i, net in enumerate(nets):
            cards += ["-netdev", f"{net},id=n{i}",
                      "-device", f"virtio-net-device,netdev=n{i},mac=52:54:00:62:0{ord(name) - ord('a')}:0{i}"]
        self.machines.append(Machine(f"qemu {name}", [
            "qemu-system-x86_64", "-M", "microvm,acpi=on", "-accel", "kvm", "-cpu", "host", "-m", str(MIB),
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", KERNEL, "-initrd", INITRD, "-append", APPEND,
            "-drive", f"file={DISK},format=raw,id=d,if=none,snapshot=on", "-device", "virtio-blk-device,drive=d",
            "-device", "virtio-serial-device", "-device", "virtio-rng-device", *cards]))


def host_iperf(address, port, *options):
    """Bits a second and packets, from here."""
    argv = ["iperf3", "-J", "-c", address, "-p", str(port), "-t", str(SECONDS), *options]
    out = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, timeout=MEASURE_PATIENCE, check=False).stdout)
    if "error" in out:
        raise Failure(out["error"])
    received = out["end"]["sum_received"]
    return received["bits_per_second"], received["bytes"] / SEGMENT


def host_requests(address, port):
    """SET requests with 64 bytes, one after the other: so many a second, and how many."""
    argv = ["redis-benchmark", "-h", address, "-p", str(port), "-t", "set", "-d", "64",
            "-c", "1", "-n", str(REQUESTS), "--csv"]
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=MEASURE_PATIENCE, check=True).stdout
    return float(out.splitlines()[-1].split(",")[1].strip('"')), REQUESTS


def guest_iperf(pair):
    """From A to B."""
    rate = float(pair.machines[0].say(f"iperf {LAN_B} -t {SECONDS}").split()[1])
    return rate, rate * SECONDS / 8 / SEGMENT


def guest_requests(pair):
    start = time.monotonic()
    if pair.machines[0].say(f"sh redis-cli -h {LAN_B} -r {REQUESTS} set key {'x' * 64} >/dev/null") != "exit 0":
        raise Failure(f"{pair.name}: redis-cli")
    return REQUESTS / (time.monotonic() - start), REQUESTS


# What is measured on each kind of network: a rate, and how many packets or requests that were.
KINDS = {
    "user": {
        "in": lambda pair: host_iperf("127.0.0.1", pair.ports[IPERF]),
        "out": lambda pair: host_iperf("127.0.0.1", pair.ports[IPERF], "-R"),
        "rr": lambda pair: host_requests("127.0.0.1", pair.ports[REDIS]),
    },
    "tap": {
        "in": lambda pair: host_iperf(pair.net + ".2", IPERF),
        "out": lambda pair: host_iperf(pair.net + ".2", IPERF, "-R"),
        "rr": lambda pair: host_requests(pair.net + ".2", REDIS),
    },
    "lan": {"in": guest_iperf, "rr": guest_requests},
}


def measured(pair, function):
    """The rate, and the CPU microseconds for each."""
    pair.signal(signal.SIGCONT)
    time.sleep(0.3)  # the guests catch up with their timers
    pair.well = False
    before = pair.cpu()
    rate, count = function(pair)
    cpu = (pair.cpu() - before) * 1e6 / max(count, 1)
    pair.well = True
    pair.signal(signal.SIGSTOP)
    return rate, cpu


def measure_kind(pairs, functions):
    """For each function a list of rounds, of which each has (rate, CPU time) of each VMM, taken in turn."""
    figures = {key: [] for key in functions}
    end = time.monotonic() + BUDGET
    rounds = 0
    while rounds < ROUNDS and (rounds == 0 or time.monotonic() < end):
        for key, function in functions.items():
            figures[key].append([measured(pair, function) for pair in pairs])
            say(f"{key} {figures[key][-1]}")
        rounds += 1
    return figures


def measure_kinds(pairs):
    """A kind that fails is tried once more, with new guests where it failed."""
    result = {}
    for kind, functions in KINDS.items():
        for _ in range(2):
            say(kind)
            try:
                for pair in pairs:
                    if not pair.well:
                        pair.end()
                        pair.boot()
                result[kind] = measure_kind(pairs, functions)
                break
            except (Failure, OSError, ValueError, subprocess.SubprocessError) as error:
                say("; ".join([f"{kind}: {error}", *(m.epitaph() for pair in pairs for m in pair.machines)]))
                result[kind] = {"error": str(error)}
        print(json.dumps(result), flush=True)
    return result


def http_answer(port):
    """Wait for the page from there."""
    end = time.monotonic() + MEASURE_PATIENCE
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=MEASURE_PATIENCE) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while more := connection.recv(4096):
                    answer += more
                    if answer.endswith(b"awake\n"):
                        return
        except OSError:
            pass
        time.sleep(0.001)
    raise Failure("no page from the one that woke")


def time_to_answer(argv, env, port):
    """Milliseconds from exec to the page."""
    start = time.monotonic()
    child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        http_answer(port)
        return (time.monotonic() - start) * 1000
    finally:
        child.kill()
        child.wait()


def measure_wake(pair):
    """Guest B of torpor is saved, and woken again and again."""
    pair.signal(signal.SIGCONT)
    file, port = os.path.join(pair.home, "web.torpor"), 18080
    pair.call("save", f"b{pair.boots}", "--flat", "-o", file)
    times = {"http": [], "first": []}
    for i in range(WAKES + 1):  # the first is not counted
        argv = [pair.torpor, "resume", file, "--net", "user", "--net", "none", f"-p127.0.0.1:{port}:{HTTP}", "--name"]
        answer = time_to_answer([*argv, f"http{i}"], pair.env, port)
        first = first_exit([*argv, f"first{i}"], pair.env)
        say(f"woken: first exit {first:.1f} ms, page {answer:.1f} ms")
        if i > 0:
            times["http"].append(answer)
            times["first"].append(first)
    return {key: statistics.median(value) for key, value in times.items()}


def measure(torpor):
    home = tempfile.mkdtemp()
    pairs = []
    try:
        pairs += [Torpor(torpor, home), Qemu(home)]
        for pair in pairs:
            pair.boot()
        result = measure_kinds(pairs)
        pairs[1].end()
        result["wake"] = measure_wake(pairs[0])
        print(json.dumps(result))
    finally:
        for pair in pairs:
            pair.end()
        if pairs:
            pairs[0].remove_lan()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    measure(sys.argv[1])
