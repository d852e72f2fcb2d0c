"""Hosts with torpor on them and guests that speak the line protocol of images/README.md.

The same code runs inside a lab of one or two hosts and directly on a machine with good KVM, where
two sets of XDG directories stand for two hosts.

    host1, host2 = hosts(2)
    guest = Guest.boot(host1, "web", "appliance.torpor")
    guest.save("/file.torpor"); host1.send(file, host2, file)
    guest = Guest.wake(host2, "web", file)

A wait ends by what it waits for, or at once when that cannot come any more: the guest has ended or is
broken. PATIENCE is only for what hangs. What fails raises Failure with the last lines of the guest's
console.
"""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
TORPOR = os.environ.get("TORPOR", os.path.join(REPOSITORY, "build/torpor"))
TAIL = 40
PATIENCE = 1200  # seconds in which nothing happens at all: no measure of speed, even beside much load
LOOK = 20  # seconds of silence until a guest is looked at
READY = r"(?m)^READY nonce=([0-9a-f]{32})"

# Runs its arguments; the last line on stderr says how many microseconds that took, without the
# way there and back.
TIMED = ('a=${EPOCHREALTIME/[.,]/}; "$@"; s=$?; b=${EPOCHREALTIME/[.,]/}; '
         'echo "$((b - a))" >&2; exit $s')


class Failure(Exception):
    pass


def in_lab():
    return os.path.isdir("/lab/run")


Result = collections.namedtuple("Result", "status out err ms")
Memory = collections.namedtuple("Memory", "nonce count")


def until(holds, pause=0.5):
    """Ask again and again. Returns the first answer that is true, or the last one after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := holds()) and time.monotonic() < deadline:
        time.sleep(pause)
    return answer


def last_progress(said):
    """Verb, state and bytes of the last line of --progress=json among what a verb said."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return tuple(lines[-1].get(member) for member in ("progress", "state", "done")) if lines else None


class Lived:
    """Proves that what a guest's own clock counts is no more than the time in which it ran: its reading then and
    now, against ours without what it spent away()."""

    def __init__(self, read):
        self.start = time.monotonic()
        self.first = read()
        self.slept = 0.0

    @contextlib.contextmanager
    def away(self):
        start = time.monotonic()
        yield
        self.slept += time.monotonic() - start

    def only(self, read):
        lived = read() - self.first
        return 0 < lived < time.monotonic() - self.start - self.slept + 1


class Host:
    """One KVM host; `prefix` is what reaches it."""

    def __init__(self, name, prefix, directory):
        self.name = name
        self.directory = directory
        # No test of this suite is about CI, with which `torpor test` accepts nothing.
        self.prefix = prefix + ["env", "-u", "CI"] + [
            f"XDG_{kind}={directory}/{kind.lower()}"
            for kind in ("RUNTIME_DIR", "STATE_HOME", "DATA_HOME", "CACHE_HOME")]
        self.run("mkdir", "-p", "-m", "700", f"{directory}/runtime_dir")

    def path(self, name):
        return f"{self.directory}/{name}"

    def run(self, *argv, check=True):
        """Run a command there. Result.ms is its own time, measured there."""
        argv = self.prefix + ["bash", "-c", TIMED, "bash"] + [str(word) for word in argv]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=PATIENCE, check=False, text=True, errors="replace")
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: {' '.join(argv[-6:])}: no end after {PATIENCE} s") from None
        err, _, microseconds = done.stderr.rstrip("\n").rpartition("\n")
        if not microseconds.isdigit():
            raise Failure(f"{self.name} did not run it: {done.stderr.strip()}")
        result = Result(done.returncode, done.stdout, err, int(microseconds) / 1000)
        if check and result.status != 0:
            raise Failure(f"{self.name}: {' '.join(argv[argv.index('bash') + 4:])}: "
                          f"status {result.status}: {err}")
        return result

    def torpor(self, *argv, **options):
        return self.run(TORPOR, *argv, **options)

    def send(self, file, other, to):
        """Copy a file to another host; returns the milliseconds it took."""
        start = time.monotonic()
        if in_lab():
            source = file if self.name == "host1" else f"{self.name}:{file}"
            target = to if other.name == "host1" else f"{other.name}:{to}"
            subprocess.run(["lab-cp", source, target], check=True)
        else:
            subprocess.run(["cp", "--sparse=always", file, to], check=True)
        return (time.monotonic() - start) * 1000

    def ended_as(self, name):
        return [m["end"] for m in json.loads(self.torpor("ps", "-a", "--json").out) if m["name"] == name]

    def end_all(self):
        """End what was started here and not ended since."""
        for name in self.torpor("ps", "-q", check=False).out.split():
            self.torpor("kill", name, check=False)


def hosts(count):
    """host1 and perhaps host2, in the lab or as two sets of directories on this machine."""
    names = [f"host{n + 1}" for n in range(count)]
    if in_lab():
        return [Host(name, [] if name == "host1" else ["lab-on", name], "/tmp/torpor-" + name)
                for name in names]
    root = tempfile.mkdtemp(prefix="torpor-hosts.")
    return [Host(name, [], f"{root}/{name}") for name in names]


def close(all_hosts):
    for host in all_hosts:
        host.end_all()
        if not in_lab():
            shutil.rmtree(os.path.dirname(host.directory), ignore_errors=True)


class Console:
    """A program that talks for a guest, `torpor console NAME` mostly, its lines collected by a thread."""

    def __init__(self, argv):
        self.lines = collections.deque(maxlen=100000)
        self.seen = 0
        self.closed = False
        self.changed = threading.Condition()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def write(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, pattern, lives=lambda: True):
        """The next line that matches. None at the end of the console, after PATIENCE without a line, or once
        lives(), which is asked when it is silent for some time, is false."""
        silent_since = time.monotonic()
        while (line := self._look_on(pattern)) is None:
            with self.changed:
                if self.seen == len(self.lines):
                    if self.closed:
                        return None
                    if self.changed.wait(LOOK):
                        silent_since = time.monotonic()
                        continue
            if not lives() or time.monotonic() - silent_since > PATIENCE:
                return self._look_on(pattern)
        return line

    def _look_on(self, pattern):
        """Among the lines that are there and were not looked at."""
        with self.changed:
            while self.seen < len(self.lines):
                line = self.lines[self.seen]
                self.seen += 1
                if re.search(pattern, line):
                    return line
        return None

    def end(self):
        self.process.kill()
        self.process.wait()


class Guest:
    """A running guest and our seat at its console."""

    def __init__(self, host, name):
        self.host = host
        self.name = name
        self.ms = 0.0     # the verb that started it
        self.nonce = None
        self.console = Console(host.prefix + [TORPOR, "console", name])

    @classmethod
    def boot(cls, host, name, *argv):
        """`torpor run -d`, until READY; ready_ms tells how long after the start that was."""
        start = time.monotonic()
        result = host.torpor("run", "-d", "--name", name, *argv)
        guest = cls(host, name)
        guest.ms = result.ms
        guest.look_for_ready()
        guest.ready_ms = (time.monotonic() - start) * 1000
        return guest

    @classmethod
    def wake(cls, host, name, file, *argv):
        result = host.torpor("resume", file, "-d", "--name", name, *argv)
        guest = cls(host, name)
        guest.ms = result.ms
        return guest

    def fail(self, what):
        log = self.host.torpor("logs", self.name, check=False).out.splitlines()
        own = self.host.torpor("logs", "--host", self.name, check=False).out.splitlines()
        raise Failure("\n".join([f"{self.name} on {self.host.name}: {what}; its console:"]
                                + ["  | " + line for line in log[-TAIL:]]
                                + ["  torpor: " + line for line in own[-5:]]))

    def lives(self):
        """It has not ended and is not broken."""
        listed = json.loads(self.host.torpor("ps", "--json").out)
        return any(m["name"] == self.name and m["state"] != "broken" for m in listed)

    def hear(self, pattern):
        """The next line of its console that matches, or None if there will be none."""
        return self.console.wait(pattern, self.lives)

    def look_for_ready(self):
        """READY, from the log if it was printed before we sat down."""
        found = re.findall(READY, self.host.torpor("logs", self.name, check=False).out)
        if found:
            self.nonce = found[-1]
        else:
            self.await_ready()

    def await_ready(self):
        """The next READY on the console."""
        line = self.hear(READY)
        if line is None:
            self.fail("it does not become READY")
        self.nonce = re.search(READY, line)[1]

    def say(self, command):
        """Send a command; its reply without the first word."""
        verb = command.split()[0]
        try:
            self.console.write(command)
        except OSError:
            self.fail(f"`{command}` could not be sent")
        line = self.hear(rf"^({verb}|error)( |$)")
        if line is None:
            self.fail(f"no answer to `{command}`")
        if line.startswith("error"):
            self.fail(f"`{command}`: {line}")
        return line[len(verb):].strip()

    def number(self, command):
        return float(self.say(command).split()[0])

    def memory(self):
        """What only this boot of this guest can know, for a look back later."""
        return Memory(self.say("nonce"), self.number("count"))

    def remembers(self, before):
        now = self.memory()
        if now.nonce != before.nonce or now.count < before.count:
            self.fail(f"woke as another: {before} became {now}")
        return True

    def save(self, file, *argv):
        """`torpor save -o file`; without -R the machine is gone then. Returns milliseconds."""
        result = self.host.torpor("save", self.name, "-o", file, *argv)
        if "-R" not in argv:
            self.console.end()
        return result.ms

    def pipe(self, *argv):
        """`torpor save -o -`, its standard output a pipe for somebody else."""
        return subprocess.Popen(self.host.prefix + [TORPOR, "save", self.name, "-o", "-", *argv],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def move(self, other, *argv):
        """`torpor save -o - | ssh other torpor resume -d -`: the guest there, and the milliseconds."""
        start = time.monotonic()
        with self.pipe(*argv) as save:
            done = subprocess.run(
                other.prefix + [TORPOR, "resume", "-d", "-"], stdin=save.stdout, timeout=PATIENCE,
                capture_output=True, check=False, text=True, errors="replace")
            save.stdout.close()
            said = save.stderr.read().decode(errors="replace")
        if save.returncode != 0 or done.returncode != 0:
            raise Failure(f"{self.name} from {self.host.name} to {other.name}: "
                          f"save: {save.returncode}: {said} resume: {done.returncode}: {done.stderr}")
        if "-R" not in argv:
            self.console.end()
        moved = Guest(other, done.stdout.strip())
        moved.ms = (time.monotonic() - start) * 1000
        return moved

    def kill(self):
        self.host.torpor("kill", self.name)
        self.console.end()


# Leave by the usual way when told to end, so that machines are ended too.
signal.signal(signal.SIGTERM, lambda *_: exit(143))
