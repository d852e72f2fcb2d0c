"""Scenarios on one host, beside exec.py: what is left of torpor's helper in a Debian guest, an agent that hangs, a reset
while a command runs, and `torpor wait --until`."""

import sys

import guest as lab
import suite
from exec import BOX, background, boot, ended, run, without_port
from suite import DEBIAN, DISK, ok

LEFT = "ls -d /dev/shm/torpor-* /run/torpor-* /tmp/torpor-* /var/tmp/torpor-* 2>/dev/null"


def helpers(host):
    """Nothing of the helper is left, whoever is killed; an agent that hangs is told of."""
    guest = boot(host, "help")
    got = run(host, "help", "--", BOX, "sh", "-c", LEFT)
    ok("its folder has no name while a command runs", got.out == "", got)
    process = background(host, "help", "--", BOX, "sh", "-c", "echo; sleep 1000")
    process.kill()
    process.wait()
    ok("a client that is killed ends its command, and leaves nothing",
       lab.until(lambda: run(host, "help", "--", BOX, "sh", "-c", "pidof sleep; " + LEFT).out == ""))
    process = background(host, "help", "--", BOX, "sh", "-c", "echo; sleep 1000")
    run(host, "-d", "help", "--", BOX, "sh", "-c", "sleep 1; kill -9 $(pidof helper)")
    status, err = ended(process)
    ok("a helper that is killed is told of", status == 125 and "helper" in err, err)
    got = run(host, "help", "--", BOX, "sh", "-c", LEFT + "; exit 4")
    ok("it leaves nothing either, and there is a new one", (got.status, got.out) == (4, ""), got)
    run(host, "-d", "help", "--", BOX, "sh", "-c", "killall -STOP qemu-ga")
    got = run(host, "--timeout", "60", "help", "--", BOX, "sh", "-c", "kill -CONT $(pidof qemu-ga); exit 5")
    ok("an agent that hangs is no matter", got.status == 5, got)
    without_port(host, "help")
    process = background(host, "help", "--", BOX, "sh", "-c", "echo; sleep 1000")
    run(host, "-d", "help", "--", BOX, "sh", "-c", "sleep 1; killall -STOP qemu-ga")
    status, err = ended(process)
    ok("its agent hangs, and that is told", status == 125 and "answer" in err, err)
    got = run(host, "--timeout", "2", "help", "--", BOX, "true")
    ok("an agent that does not answer is waited for as long as was said", got.status == 124 and "agent" in got.err, got)
    ok("the guest is as it was", guest.say("nonce") == guest.nonce)
    guest.kill()


def reset(host):
    """A golden machine is reset while a command runs."""
    guest = boot(host, "gold")
    file = host.path("gold.torpor")
    guest.save(file, "--flat")
    guest = lab.Guest.wake(host, "gold", file, "--golden")
    process = background(host, "gold", "--", BOX, "sh", "-c", "echo >/tmp/trace; echo; sleep 1000")
    host.torpor("reset", "gold")
    status, err = ended(process)
    ok("a reset ends a command, and that is told", status == 125 and "gold was reset" in err, err)
    got = run(host, "gold", "--", BOX, "sh", "-c", "ls /tmp/trace 2>/dev/null; pidof sleep; exit 7")
    ok("nothing of it is there, and commands run again", (got.status, got.out) == (7, ""), got)
    guest.kill()
    host.run("rm", file)


def readiness(host):
    """`torpor wait --until`."""
    guest = lab.Guest.boot(host, "ready", *DEBIAN, *DISK, "-p", "127.0.0.1:0:80")
    ok("a text that it has shown", host.torpor("wait", "--until", "READY", "--timeout", "60", "ready").out == "")
    ok("a command that succeeds", host.torpor("wait", "--until", f"exec:{BOX} true", "--timeout", "600", "ready").out == "")
    got = host.torpor("wait", "--until", f"exec:{BOX} test -e /tmp/there", "--timeout", "5", "ready", check=False)
    ok("one that fails, and its status", got.status == 124 and "exit status was 1" in got.err, got)
    # DHCP has given the address that the port is forwarded to.
    if not lab.until(lambda: guest.say("net").split()[0] != "-"):
        guest.fail("it gets no address")
    got = host.torpor("wait", "--until", "port:80", "--timeout", "10", "ready", check=False)
    ok("a port that the guest refuses is no answer, though this host listens", got.status == 124, got)
    serve = f"(sleep 3; {BOX} httpd -f -p 80 -h /tmp) & (sleep 4; : >/tmp/there) & wait"
    run(host, "-d", "ready", "--", BOX, "sh", "-c", serve)
    got = host.torpor("wait", "--until", "port:80", "--until", f"exec:{BOX} test -e /tmp/there", "--timeout", "600",
                      "ready", check=False)
    ok("a port that the guest answers, and a command behind it", got.status == 0 and got.out == got.err == "", got)
    guest.kill()


if __name__ == "__main__":
    sys.exit(suite.main([helpers, reset, readiness], hosts=1))
