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


def write(host, name, text):
    """A file of that text there; its path."""
    file = host.path(name)
    host.run("bash", "-c", 'printf %s "$2" >"$1"', "bash", file, text)
    return file


def clock_is_set(host, golden):
    """The guest's clock starts at what is given, in each test anew."""
    file = write(host, "clock.t", "  $ date -u +%Y-%m-%dT%H\n  2031-05-06T07\n  $ date -s 2040-01-01 >/dev/null\n")
    got = test(host, golden, "redis", "--clock", "2031-05-06T07:00:00Z", "--repeat", "2", file)
    ok("--clock is the guest's time, also behind a test that has set it", got.status == 0, got)


def files_are_compared(host, golden):
    """--check-fs: the guest's files behind a test, with an accepted listing."""
    listing = host.path("listing")
    host.run("mkdir", listing)
    text = "  $ mkdir /etc/made && echo {} >/etc/made/file && chmod 600 /etc/made/file\n"
    file = write(host, "files.t", text.format("as accepted"))
    got = test(host, golden, "redis", "--check-fs", listing, "--update", file)
    ok("--check-fs --update accepts the guest's files", got.status == 0, got)
    got = test(host, golden, "redis", "--check-fs", listing, file)
    ok("behind the next run they are the same", got.status == 0, got)
    write(host, "files.t", text.format("something else") + "  $ rm /etc/redis.conf; touch /etc/new\n")
    got = test(host, golden, "redis", "--check-fs", listing, "--no-save", file)
    ok("what differs is named", got.status == 1 and all(
        re.search(f"(?m)^[-+].*{path}( |$)", got.out) for path in ("/etc/made/file", "/etc/new", "/etc/redis.conf")) and
       "/etc/made " not in got.out, got)


def differences_are_told(host, golden, name):
    """Another recording, of a recipe that does two things more: they are what is told, and nothing else."""
    with open(recipe(name), encoding="utf-8") as file:
        text = file.read().replace(": ../../../", f": {lab.REPOSITORY}/")
    changed = write(host, "changed.t", text + "  $ echo more >/etc/more; sleep 100000 >/dev/null 2>&1 </dev/null &\n")
    got = host.torpor("golden", "check", "--progress=json", changed, golden, check=False)
    suite.note(f"checked in {got.ms / 1000:.1f} s")
    ok("what another recording has more is told, and nothing else", got.status == 1 and
       "/etc/more" in got.out and "sleep" in got.out and got.out.endswith(" differs in 2 things\n"), got)
    verb, state, done = lab.last_progress(got.err)
    ok("and how far it is, to its end", (verb, state) == ("golden", "done") and done > 0, got)


def redis(host1, host2):
    """Recorded, tested, compared, failing; and the machine of that failure on another host."""
    golden = record(host1, "redis")
    passes(host1, golden, "redis", "-j", "2")
    clock_is_set(host1, golden)
    files_are_compared(host1, golden)
    differences_are_told(host1, golden, "redis")
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


def workers_are_alone(host, golden):
    """What one machine publishes this host reaches, and no other machine does: the two wait for one another."""
    for name in ("port", "over"):
        host.run("mkfifo", host.path(name))
    one = write(host, "one.t", f"  % echo $TORPOR_PORT_80 >{host.path('port')}; cat {host.path('over')}\n  over\n")
    other = write(host, "other.t", f"""  % read port <{host.path('port')}
  > curl -s 127.0.0.1:$port/
  > {lab.TORPOR} exec $TORPOR_NAME -- curl -s http://127.0.0.1/
  > for address in 10.0.2.2 127.0.0.1 10.0.2.15; do
  >     {lab.TORPOR} exec $TORPOR_NAME -- curl -s http://$address:$port/ && echo reached
  > done
  > echo over >{host.path('over')}
  awake
  awake
""")
    got = test(host, golden, "web", "-j", "2", one, other)
    ok("two workers at the same time do not reach each other", got.status == 0, got)


def web(host1, _host2):
    """Recorded, tested twice, and compared with another recording; its workers do not reach each other."""
    golden = record(host1, "web")
    passes(host1, golden, "web", "--repeat", "2", rounds=2)
    got = host1.torpor("golden", "check", recipe("web"), golden, check=False)
    suite.note(f"checked in {got.ms / 1000:.1f} s")
    ok("another recording has the same in it", got.status == 0, got)
    workers_are_alone(host1, golden)
    ok("nothing is left", host1.torpor("ps", "-q").out == "")


if __name__ == "__main__":
    sys.exit(suite.main([redis, web], hosts=2))
