"""Scenarios on one host: a guest shares folders of it. Its programs are the host's own, through a folder that is only
read."""

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
    ok("/usr is only read", inside(host, name, "touch /usr/torpor-was-here").status != 0)
    got = inside(host, name, "/usr/bin/python3 /tools/names.py /data/names")
    ok("names, modes and sizes are what POSIX says", got.out == f"NAMES {NAMES}\n", f"{got}")


def begin(host, name, script):
    """In the background there; what it prints is in /tmp/out, and ENDED behind that."""
    inside(host, name, f"({script}; echo; echo ENDED) </dev/null >/tmp/out 2>&1 &")


def fsx_across(host, name, folder, operations, saves):
    """Returns whether it was right in the end. The saves are spread over it."""
    begin(host, name, f"/usr/bin/python3 /tools/fsx.py /data/fsx {operations} 4711")

    def far():
        """How many operations are done; or what it said at its end."""
        got = inside(host, name, "tail -n 9 /tmp/out").out
        done = re.findall(r"(?m)^FSX (\d+)$", got)
        return got if "ENDED" in got or not done else done[-1]

    def reached(count):
        return lab.until(lambda: "ENDED" in (got := far()) or got.isdigit() and int(got) >= count)

    for i in range(saves):
        reached(operations * (i + 1) // (saves + 2))
        ok(f"save {i + 1}: fsx is at work", far().isdigit(), inside(host, name, "cat /tmp/out").out[-500:])
        file = host.path(f"fsx{i}.torpor")
        host.torpor("save", name, "-o", file, *(["-R"] if i % 2 else []))
        if i % 2 == 0:
            wake(host, name, file, folder)
        host.run("rm", file)
    lab.until(lambda: "ENDED" in far())
    ok(f"{operations} operations across {saves} saves are what a model says", "FSX ok\n" in far(), far())


def vanishing(host, name, folder):
    """What the host takes away while the machine sleeps is ESTALE, named, and nothing hangs."""
    script = ("exec 3</data/kept 4</data/gone 5<>/data/replaced; echo open >/data/ready; "
              "while [ ! -e /data/go ]; do sleep 0.2; done; "
              "cat <&3; cat <&4 || echo gone; cat <&5 || echo replaced; cat /data/replaced")
    host.run("sh", "-c", f"cd {folder}; rm -f go ready; echo kept >kept; echo gone >gone; echo old >replaced")
    begin(host, name, script)
    lab.until(lambda: os.path.exists(f"{folder}/ready") or host.run("test", "-e", f"{folder}/ready", check=False).status == 0)
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


def shared(host):
    """What make check has time for."""
    folder = new_folder(host, "data")
    begun = time.monotonic()
    start(host, "share", folder)
    note(f"a guest with three folders is up after {time.monotonic() - begun:.0f} s")
    stands(host, "share", folder)
    fsx_across(host, "share", folder, 600, 2)
    vanishing(host, "share", folder)
    host.torpor("kill", "share")


def fsx(host):
    """For make soak: 10^5 operations."""
    folder = new_folder(host, "data")
    start(host, "fsx", folder)
    fsx_across(host, "fsx", folder, int(os.environ.get("OPERATIONS", "100000")), 5)
    host.torpor("kill", "fsx")


if __name__ == "__main__":
    sys.exit(suite.main([shared, fsx], hosts=1))
