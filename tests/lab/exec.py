"""Scenarios on one host: commands in a Debian guest by `torpor exec`, and files there and back by
`torpor cp`."""

import re
import subprocess
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, DISK, ok

MANY = 200
LENGTH = 64 << 20
NOTHING = "e3b0c44298fc1c14"  # how the digest of no bytes begins
BOX = "busybox"  # the guest's programs


def boot(host, name, *options):
    """A guest whose agent lets programs be run."""
    guest = lab.Guest.boot(host, name, *DEBIAN, *DISK, *options)
    if not lab.until(lambda: host.torpor("exec", name, "--", BOX, "true", check=False).status == 0):
        guest.fail("no command runs: " + host.torpor("exec", name, "--", BOX, "true", check=False).err)
    return guest


def way(host, name, *shell_there):
    """How frames reach the helper there: "port" or "files"."""
    got = run(host, name, "--", *(shell_there or (BOX, "sh")), "-c", "ls -l /proc/$(pidof helper)/fd")
    return "port" if "/dev/vport" in got.out else "files"


def without_port(host, name):
    """From here on no helper can open the console port."""
    run(host, "-d", name, "--", BOX, "sh", "-c",
        "sleep 1; for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) = org.torpor.exec.0 ] && rm /dev/${p##*/}; done; "
        "kill -9 $(pidof helper)")
    if not lab.until(lambda: way(host, name) == "files"):
        raise lab.Failure("commands still reach the guest by the port")


def run(host, *argv):
    return host.torpor("exec", *argv, check=False)


def shell(host, script):
    return host.run("bash", "-c", script.replace("torpor", lab.TORPOR), check=False)


def background(host, *argv):
    """`torpor exec` that goes on; its first line of output has come."""
    process = subprocess.Popen(host.prefix + [lab.TORPOR, "exec", *argv], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def ended(process):
    """Status and standard error of a background()."""
    err = process.communicate(timeout=lab.PATIENCE)[1]
    return process.returncode, err


def commands(host):
    """Status, outputs, input, user, folder, variables, signals, a terminal."""
    guest = boot(host, "cmd")
    ok("there is a port for it", way(host, "cmd") == "port")
    got = run(host, "cmd", "--", BOX, "sh", "-c", "echo out; echo err >&2; exit 7")
    ok("outputs apart, and the status", (got.status, got.out, got.err) == (7, "out\n", "err"), got)
    got = shell(host, 'for i in $(seq 0 255); do torpor exec cmd -- busybox sh -c "exit $i"; '
                      '[ $? = $i ] || echo $i; done')
    ok("every status", got.out == "", got)
    ok("killed", run(host, "cmd", "--", BOX, "sh", "-c", "kill -9 $$").status == 137)
    got = run(host, "cmd", "--", "no-such-command")
    ok("not found", got.status == 127 and "no-such-command" in got.err, got)
    ok("not a program", run(host, "cmd", "--", "/proc/version").status == 126)
    got = run(host, "-e", "A=b c", "-w", "/tmp", "-u", "1234:5678", "cmd", "--", BOX, "sh", "-c",
              "echo $A; pwd; id -u; id -g")
    ok("variable, folder, user", got.out == "b c\n/tmp\n1234\n5678\n", got)
    got = run(host, "--timeout", "2", "cmd", "--", BOX, "sleep", "100")
    ok("it takes too long", got.status == 124, got)
    process = background(host, "cmd", "--", BOX, "sh", "-c", "trap 'exit 42' INT; echo; while :; do sleep 1; done")
    process.send_signal(2)
    ok("an interrupt reaches it", ended(process)[0] == 42)
    run(host, "cmd", "--", BOX, "sh", "-c", "mkdir -p /dev/pts; mount -t devpts devpts /dev/pts")
    got = shell(host, "script -qec \"stty rows 33 cols 77; torpor exec -it cmd -- busybox sh -c "
                      "'stty size; tty; exit 9'\" /dev/null; echo $?")
    ok("a terminal", re.search(r"33 77\s+/dev/pts/\d+\s+9\n", got.out), got)
    ok("detached", run(host, "-d", "cmd", "--", BOX, "sh", "-c", "sleep 1; echo yes >/tmp/detached").status == 0)
    ok("it goes on", lab.until(lambda: run(host, "cmd", "--", BOX, "cat", "/tmp/detached").out == "yes\n"))
    without_port(host, "cmd")
    got = shell(host, 'for i in 0 1 126 127 128 255; do torpor exec cmd -- busybox sh -c "exit $i"; '
                      '[ $? = $i ] || echo $i; done')
    ok("statuses without a port", got.out == "", got)
    guest.kill()


def both_ways(host, name, length):
    """So many random bytes through standard input, and through standard output, with the same digest here and there."""
    got = shell(host, f"head -c {length} /dev/urandom >/tmp/there; sha256sum </tmp/there; "
                      f"time torpor exec -i {name} -- busybox sha256sum </tmp/there; rm /tmp/there")
    digests = re.findall(r"^[0-9a-f]{64}", got.out, re.M)
    suite.note(f"{length >> 20} MiB in: " + " ".join(got.err.split()))
    ok("input of any length", len(digests) == 2 and digests[0] == digests[1] and NOTHING not in got.out, got)
    got = shell(host, f"set -o pipefail; time torpor exec {name} -- busybox sh -c "
                      f"'mkfifo /tmp/f; sha256sum </tmp/f >&2 & head -c {length} /dev/urandom | tee /tmp/f; wait' "
                      "| sha256sum")
    suite.note(f"{length >> 20} MiB out: " + " ".join(got.err.split()))
    ok("output of any length", len(got.out.split()) == 2 and got.out.split()[0] in got.err and NOTHING not in got.out, got)


def many(host):
    got = shell(host, f"for i in $(seq {MANY}); do "
                      'torpor exec len -- busybox sh -c "seq 500; exit $((i % 200))" >/tmp/out.$i '
                      "& pids[i]=$!; done; "
                      f"for i in $(seq {MANY}); do wait ${{pids[i]}}; s=$?; "
                      '[ $s = $((i % 200)) ] && [ $(wc -l </tmp/out.$i) = 500 ] || echo $i $s; done; rm -f /tmp/out.*')
    ok("many at once", got.out == "", got)


def lengths(host):
    """Much in both directions, many at once, and a client that does not read; by the port, and without it."""
    guest = boot(host, "len")
    both_ways(host, "len", LENGTH)
    many(host)
    process = background(host, "len", "--", BOX, "yes")
    ok("who does not read holds up nobody", run(host, "len", "--", BOX, "true").status == 0)
    process.kill()
    process.wait()
    ok("who leaves ends the command",
       lab.until(lambda: run(host, "len", "--", BOX, "pidof", "yes").status == 1))
    without_port(host, "len")
    both_ways(host, "len", LENGTH >> 3)
    many(host)
    ok("the guest is as it was", guest.say("nonce") == guest.nonce)
    guest.kill()


def files(host):
    """`torpor cp`: there and back, names and folders, streams."""
    guest = boot(host, "cp")
    got = shell(host, r"""
        set -e
        rm -rf /tmp/cp; mkdir -p /tmp/cp/tree/sub/empty; cd /tmp/cp
        head -c 5000000 /dev/urandom >tree/sub/big; echo one >tree/one; ln -s ../one tree/sub/link; : >tree/none
        echo odd >"$(printf 'tree/a b\n\303\244\200')"; echo long >"tree/$(printf '%0150d' 1)"
        chmod 640 tree/one; chmod 711 tree/sub; touch -d '2001-02-03 04:05:06' tree/one tree/sub
        torpor cp tree cp:/tmp
        torpor cp cp:/tmp/tree back
        diff -r --no-dereference tree back
        # busybox's tar forgets the times of folders and links.
        listed() { (cd $1; find . -type f -printf '%p %m %Ts\n' , -type d -printf '%p %m\n' | sort); }
        [ "$(listed tree)" = "$(listed back)" ]
        echo tree
        torpor cp cp:/tmp/tree/one .; cmp one tree/one
        torpor cp one cp:/tmp/renamed; torpor cp cp:/tmp/renamed again; cmp again one
        torpor cp tree/. cp:/tmp/contents; torpor cp cp:/tmp/contents/. contents; diff -r --no-dereference tree contents
        mkdir there; torpor cp cp:/tmp/tree/sub there; cmp there/sub/big tree/sub/big
        echo names
        torpor cp cp:/tmp/tree - | tar -tf - | grep -qx tree/one
        tar -cf - one | torpor cp - cp:/tmp/contents/sub; torpor exec cp -- busybox cat /tmp/contents/sub/one
        """)
    ok("trees, names and streams", got.out == "tree\nnames\none\n" and got.status == 0, got)
    for way in "/tmp/cp/tree/sub/big cp:/tmp/big", "cp:/tmp/big /tmp/cp/big":
        got = host.torpor("cp", "--progress=json", *way.split())
        verb, state, done = lab.last_progress(got.err)
        ok("it tells how far it is, to its end", (verb, state) == ("cp", "done") and done > 5000000, got)
    got = shell(host, "mkdir -p /tmp/cp; cd /tmp/cp; echo >one; torpor cp cp:/no/such .; echo $?; torpor cp no-such cp:/tmp; echo $?; "
                      "torpor cp one cp:/no/such/place; echo $?; rm -rf /tmp/cp")
    ok("what is not there is told", got.out == "125\n122\n125\n", got)
    guest.kill()


def interrupted(host):
    """Paused, without its agent, saved, woken page by page."""
    guest = boot(host, "int")
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 3; echo end; exit 5")
    host.torpor("pause", "int")
    got = run(host, "int", "--", BOX, "true")
    ok("not while it is paused", got.status == 125 and "paused" in got.err, got)
    time.sleep(4)
    host.torpor("unpause", "int")
    ok("it goes on behind a pause", ended(process)[0] == 5)
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 3; exit 6")
    file = host.path("int.torpor")
    guest.save(file, "-R")
    ok("it goes on behind a save", ended(process)[0] == 6)
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 1000")
    guest.save(file)
    status, err = ended(process)
    ok("saved in the middle, and told so", status == 125 and "saved" in err, err)
    guest = lab.Guest.wake(host, "int", file)
    got = run(host, "int", "--", BOX, "sh", "-c", "echo awake; exit 3")
    ok("while it is being paged in", (got.status, got.out) == (3, "awake\n"), got)
    ok("nothing is left of the command that it was saved in",
       lab.until(lambda: run(host, "int", "--", BOX, "pidof", "sleep").status == 1))
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; killall qemu-ga; sleep 2; exit 7")
    ok("its agent is killed, and the command goes on", ended(process)[0] == 7)
    guest.save(file)
    guest = lab.Guest.wake(host, "int", file)
    ok("nor is it needed when it wakes", run(host, "int", "--", BOX, "sh", "-c", "exit 8").status == 8)
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 1000")
    guest.kill()
    status, err = ended(process)
    ok("killed in the middle, and told so", status == 125 and "killed" in err, err)
    guest = boot(host, "int")
    without_port(host, "int")
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 1000")
    guest.save(file)
    status, err = ended(process)
    ok("saved in the middle without a port, and told so", status == 125 and "saved" in err, err)
    guest = lab.Guest.wake(host, "int", file)
    ok("it wakes", run(host, "int", "--", BOX, "sh", "-c", "exit 3").status == 3)
    process = background(host, "int", "--", BOX, "sh", "-c", "echo; sleep 1000")
    run(host, "-d", "int", "--", BOX, "sh", "-c", "sleep 1; killall qemu-ga")
    status, err = ended(process)
    ok("without a port its agent is killed, and that is told", status == 125 and "agent" in err, err)
    guest.kill()
    host.run("rm", file)


def transcripts(host):
    """`torpor test`: transcripts from one golden."""
    guest = boot(host, "golden")
    file = host.path("golden.torpor")
    guest.save(file, "--flat")
    got = host.torpor("test", "--from", file, lab.REPOSITORY + "/tests/transcripts/shell", check=False)
    ok("all pass", got.status == 0 and got.out.endswith("\n5 passed, 0 failed, 0 not run\n"), got)
    differs = host.path("differs.t")
    host.run("sed", "s/^  one$/  1/; w " + differs, lab.REPOSITORY + "/tests/transcripts/shell/shell.t")
    got = host.torpor("test", "--from", file, differs, check=False)
    ok("a difference is shown", got.status == 1 and "\n-  1\n+  one\n" in got.out, got)
    ok("nothing is left", host.torpor("ps", "-q").out == "")
    host.run("rm", file, differs)


if __name__ == "__main__":
    sys.exit(suite.main([commands, files, lengths, interrupted, transcripts], hosts=1))
