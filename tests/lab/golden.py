"""Real tests on goldens that are recorded here: `torpor golden record` and `check`, and `torpor test` on
the redis and the web appliance."""

import os
import re
import sys

import guest as lab
import suite
from suite import ok

TRANSCRIPTS = os.path.join(lab.REPOSITORY, "tests/transcripts")
PORTS = {"redis": [], "web": ["-p", "80", "-p", "443", "-p", "6379"]}
LARGEST = 20 << 20  # bytes of a machine whose test failed


def transcripts(name):
    return os.path.join(TRANSCRIPTS, "real", name)


def recipe(name):
    return os.path.join(TRANSCRIPTS, "recipes", name + ".t")


def record(host, name):
    """The golden of that name; its path there."""
    file = host.path(name + ".torpor")
    got = host.torpor("golden", "record", recipe(name), "-o", file, check=False)
    ok(f"{name} is recorded", got.status == 0 and re.fullmatch(re.escape(file) + "@sha256:[0-9a-f]{64}\n", got.out), got)
    suite.note(f"recorded in {got.ms / 1000:.1f} s")
    return file


def test(host, golden, name, *argv):
    """All transcripts for that golden."""
    got = host.torpor("test", "--from", golden, *PORTS[name], "--failed", host.path("failed"), *argv, check=False)
    suite.note(f"{got.ms / 1000:.1f} s")
    return got


def passes(host, golden, name, *argv, rounds=1):
    wanted = rounds * len(os.listdir(transcripts(name)))
    got = test(host, golden, name, *argv, transcripts(name))
    ok(f"{wanted} tests of {name} pass", got.status == 0 and
       got.out.endswith(f"\n{wanted} passed, 0 failed, 0 not run\n") and got.err == "", got)


def mutated(host, golden, name, test_name, old, new):
    """A test that expects something else: its diff."""
    file = host.path("mutated.t")
    host.run("sed", f"s/^  {old}$/  {new}/w {file}.changed\nw {file}", transcripts(name) + f"/{test_name}.t")
    got = test(host, golden, name, file)
    ok("a changed expectation fails with its diff", got.status == 1 and
       f"\n-  {new}\n+  {old}\n" in got.out and len(re.findall(r"(?m)^[-+]  ", got.out)) == 2, got)
    saved = re.search(r"(?m)^at its first difference .*: torpor resume (\S+)$", got.out)
    ok("its machine is saved, and the line that wakes it is printed", saved, got)
    if not saved:
        raise lab.Failure("no machine was saved")
    return saved.group(1)


def redis(host1, host2):
    """Recorded, tested, failing; and the machine of that failure on another host."""
    golden = record(host1, "redis")
    passes(host1, golden, "redis", "-j", "2")
    failed = mutated(host1, golden, "redis", "data", "value:49999", "value:4")
    size = int(host1.run("stat", "-c", "%s", failed).out)
    ok(f"its machine is a file of {size / 2**20:.1f} MiB", size <= LARGEST)
    for file in (golden, failed):
        host1.send(file, host2, host2.path(os.path.basename(file)))
    got = host2.torpor("resume", "-d", "-n", "failure", host2.path(os.path.basename(failed)), check=False)
    ok("it wakes on another host", got.status == 0, got)
    got = host2.torpor("exec", "failure", "--", "redis-cli", "lrange", "list", "0", "-1", check=False)
    ok("behind the first command that differs, before the next ones", got.out == "\n", got)
    got = host2.torpor("exec", "failure", "--", "redis-cli", "get", "recorded", check=False)
    ok("it is the golden's", got.out == "yes\n", got)
    host2.torpor("kill", "failure")
    ok("nothing is left", host1.torpor("ps", "-q").out == "")


def web(host1, _host2):
    """Recorded, tested twice, and compared with another recording."""
    golden = record(host1, "web")
    passes(host1, golden, "web", "--repeat", "2", rounds=2)
    got = host1.torpor("golden", "check", recipe("web"), golden, check=False)
    suite.note(f"checked in {got.ms / 1000:.1f} s")
    ok("another recording has the same in it", got.status == 0, got)
    ok("nothing is left", host1.torpor("ps", "-q").out == "")


if __name__ == "__main__":
    sys.exit(suite.main([redis, web], hosts=2))
