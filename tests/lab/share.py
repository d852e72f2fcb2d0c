"""A scenario on two hosts: a guest of Debian's kernel shares folders of it. Its programs are the host's own, through a folder
that is only read. (tests/share has more of fsx, git and make, behind another driver.) vector.py plays it in make check."""

import os
import re
import sys
import tempfile
import time

import build
import guest as lab
import oci_image
import suite
from suite import note, ok

TOOLS = os.path.join(lab.REPOSITORY, "tests/lab/guest")
WORK = tempfile.mkdtemp(prefix="torpor-share-")
NAMES = 34  # claims of tools/names.py


def image():
    """A root with busybox, whose libraries and other programs are in /usr, which is the host's."""
    folder = os.path.join(WORK, "image")
    if not os.path.isdir(folder):
        layer = build.base()
        for name in ("lib", "lib64", "sbin"):
            if os.path.islink(f"/{name}"):
                layer.link(name, f"usr/{name}")
        oci_image.write(folder, [layer], {"Cmd": ["/bin/sleep", "1000000"]})
    return f"oci:{folder}:latest"


def start(host, name, folder, *options):
    host.torpor("run", "-d", "--name", name, "-m", "512M", "--net", "none", *build.kernel(),
                "-v", f"{folder}:/data", "-v", "/usr:/usr:ro", "-v", f"{TOOLS}:/tools:ro", *options, image())
    if not build.runs(host, name):
        raise lab.Failure(f"{name} runs no command: {build.log(host, name)}")


def inside(host, name, script):
    return host.torpor("exec", name, "--", "/bin/busybox", "sh", "-c", script, check=False)


def wake(host, name, file, folder, *options):
    host.torpor("resume", file, "-d", "--name", name, "-v", f"{folder}:/data", "-v", "/usr:/usr:ro", "-v",
                f"{TOOLS}:/tools:ro", *options)


def says(host, name):
    return host.torpor("logs", "--host", name, check=False).out


def new_folder(host, name):
    folder = host.path(name)
    host.run("mkdir", "-p", folder)
    return folder


def stands(host, name, folder):
    """Files there and back, and what POSIX says."""
    host.run("sh", "-c", f"echo from the host >{folder}/host; ln -s /etc/passwd {folder}/passwd; mkdir {folder}/deep")
    got = inside(host, name, "cat /data/host; id -u; stat -c %u /data/host; ls /tools")
    ok("what the host has, the guest reads", got.out.startswith("from the host\n0\n0\n"), f"{got}")
    inside(host, name, "echo from the guest >/data/deep/guest")
    ok("what the guest writes, the host has", host.run("cat", f"{folder}/deep/guest").out == "from the guest\n")
    got = inside(host, name, "cat /data/passwd")
    ok("a link of the host leads into the guest", got.out == build.ACCOUNTS["etc/passwd"], f"{got}")
    got = inside(host, name, "cat /sys/class/bdi/0:$(stat -c %d /data)/read_ahead_kb")
    ok("large files are read with large requests", got.out == "1024\n", f"{got}")
    ok("/usr is only read", inside(host, name, "touch /usr/torpor-was-here").status != 0)
    got = inside(host, name, "/usr/bin/python3 /tools/names.py /data/names")
    ok("names, modes and sizes are what POSIX says", got.out == f"NAMES {NAMES}\n", f"{got}")


def begin(host, name, script):
    """In the background there; what it prints is in /tmp/out, and ENDED behind that."""
    inside(host, name, f"({script}; echo; echo ENDED) </dev/null >/tmp/out 2>&1 &")


def fsx_across(host, name, folder, saves):
    """It is at work until it is told to end, so each save is amid that."""
    begin(host, name, "/usr/bin/python3 /tools/fsx.py /data/fsx /data/enough 4711")

    def far():
        """How many operations are done, in hundreds; None: it has ended."""
        got = inside(host, name, "cat /tmp/out").out
        return None if "ENDED" in got else len(re.findall(r"(?m)^FSX \d+$", got))

    for i in range(saves):
        before = far()
        ok(f"save {i + 1}: fsx is at work", before is not None and lab.until(lambda: (now := far()) is None or now > before, 2) and
           far() is not None, inside(host, name, "cat /tmp/out").out[-500:])
        file = host.path(f"fsx{i}.torpor")
        host.torpor("save", name, "-o", file, *(["-R"] if i % 2 else []))
        if i % 2 == 0:
            wake(host, name, file, folder)
        host.run("rm", file)
    host.run("touch", f"{folder}/enough")
    lab.until(lambda: far() is None, 2)
    got = inside(host, name, "cat /tmp/out").out
    ok(f"what it does across {saves} saves is what a model says", "FSX ok\n" in got, got[-500:])


def vanishing(host, name, folder):
    """What the host takes away while the machine sleeps is ESTALE, named, and nothing hangs."""
    script = ("exec 3</data/kept 4</data/gone 5<>/data/replaced; echo open >/data/ready; "
              "while [ ! -e /data/go ]; do sleep 0.2; done; "
              "cat <&3; cat <&4 || echo gone; cat <&5 || echo replaced; cat /data/replaced")
    host.run("sh", "-c", f"cd {folder}; rm -f go ready; echo kept >kept; echo gone >gone; echo old >replaced")
    begin(host, name, script)
    lab.until(lambda: host.run("test", "-e", f"{folder}/ready", check=False).status == 0)
    file = host.path("vanish.torpor")
    host.torpor("save", name, "-o", file)
    host.run("sh", "-c", f"cd {folder}; rm gone; echo new >new; mv new replaced; touch go")
    refused = host.torpor("resume", file, "-d", "--name", name, check=False)
    ok("a folder that nobody has spoken of is refused", refused.status == 125 and "/data" in refused.err, f"{refused}")
    wake(host, name, file, folder)
    lab.until(lambda: "ENDED" in inside(host, name, "cat /tmp/out").out)
    got = inside(host, name, "grep -v 'cat: ' /tmp/out").out
    ok("the file that is there goes on, the others are stale", got == "kept\ngone\nreplaced\nnew\n\nENDED\n",
       inside(host, name, "cat /tmp/out").out)
    said = says(host, name)
    ok("what is gone is named", "gone is gone" in said and "replaced is gone" in said, said)
    host.torpor("save", name, "-o", file)
    host.torpor("resume", file, "-d", "--name", name, "-v", "none")
    got = inside(host, name, "ls /data; echo $?; cat /data/kept; echo done")
    ok("dropped: all of it is stale, and nothing hangs", got.out.endswith("done\n") and "tale" in got.err, f"{got}")
    host.torpor("kill", name)
    wake(host, name, file, folder)
    got = inside(host, name, "cat /data/kept")
    ok("bound again, it is there", got.out == "kept\n", f"{got}")
    host.run("rm", file)


def elsewhere(host, other, name, folder):
    """On another host what is open is what lies there under the same path, and nothing else."""
    script = ("mkdir -p /data/tree/deep; cd /data/tree/deep; exec 3<../there 4<../missing; echo open >/data/ready; "
              "while [ ! -e /data/go ]; do sleep 0.2; done; cat <&3; cat <&4 || echo missing; ls; echo made >new")
    host.run("sh", "-c", f"cd {folder}; rm -f go ready; mkdir tree; echo first >tree/there; echo first >tree/missing")
    begin(host, name, script)
    lab.until(lambda: host.run("test", "-e", f"{folder}/ready", check=False).status == 0)
    file, there, bound = host.path("move.torpor"), other.path("move.torpor"), new_folder(other, "bound")
    host.torpor("save", name, "-o", file)
    host.send(file, other, there)
    host.run("rm", file)
    other.run("sh", "-c", f"cd {bound}; mkdir -p tree/deep; echo second host >tree/there; echo >tree/deep/here; touch go")
    wake(other, name, there, bound)
    lab.until(lambda: "ENDED" in inside(other, name, "cat /tmp/out").out)
    got = inside(other, name, "grep -v 'cat: ' /tmp/out").out
    ok("woken on another host, it has that host's files", got == "second host\nmissing\nhere\n\nENDED\n",
       inside(other, name, "cat /tmp/out").out)
    ok("the folder it works in is there", other.run("cat", f"{bound}/tree/deep/new").out == "made\n")
    ok("what that host lacks is named", "tree/missing is gone" in says(other, name), says(other, name))
    other.torpor("kill", name)
    other.run("rm", there)


def shared(host, other):
    """Three folders; what is open in them survives saves, what is gone is stale; rebound on another host."""
    folder = new_folder(host, "data")
    begun = time.monotonic()
    start(host, "share", folder)
    note(f"a guest with three folders is up after {time.monotonic() - begun:.0f} s")
    stands(host, "share", folder)
    fsx_across(host, "share", folder, 2)
    vanishing(host, "share", folder)
    elsewhere(host, other, "share", folder)


if __name__ == "__main__":
    sys.exit(suite.main([shared], hosts=2))
