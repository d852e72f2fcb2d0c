"""Scenarios on one host: appliances that `torpor build --from` makes of container images, and what their init
does: users, statuses, signals, orphans, images without a shell, redis."""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import guest as lab
import life
import oci_image
import suite
from exec import shell as shell_here
from exec import way
from suite import ok

CACHE = os.path.join(lab.REPOSITORY, "build/images/cache")
WORK = tempfile.mkdtemp(prefix="torpor-build-")
APPLETS = "sh sleep echo cat ps id ip env hostname kill stat mount touch date".split()
ACCOUNTS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:60::/srv:/bin/sh\n",
            "etc/group": "root:x:0:\nweb:x:60:\nlogs:x:70:web\n"}


def unpack(pattern, folder):
    """Debian's packages that images/*/build have fetched."""
    for package in glob.glob(os.path.join(CACHE, pattern)):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


def kernel():
    """Options for the kernel of the other guests."""
    tree = os.path.join(WORK, "kernel")
    if not os.path.isdir(tree):
        unpack("linux-image-*-cloud-amd64_*.deb", tree)
    return ["--kernel", sorted(glob.glob(f"{tree}/boot/vmlinuz-*"))[-1], "--modules", tree]


def busybox(architecture):
    tree = unpack(f"busybox-static_*_{architecture}.deb", os.path.join(WORK, "busybox-" + architecture))
    with open(tree + "/bin/busybox", "rb") as file:
        return file.read()


def base(applets=APPLETS, architecture="amd64"):
    layer = oci_image.Layer()
    for folder in ("bin", "etc", "srv"):
        layer.folder(folder)
    layer.add("bin/busybox", busybox(architecture), 0o755)
    for applet in applets:
        layer.link(f"bin/{applet}", "busybox")
    for path, text in ACCOUNTS.items():
        layer.add(path, text.encode())
    layer.add("etc/hosts")
    return layer


def make(host, name, layers, config, *options):
    """The appliance of an image."""
    folder, file = os.path.join(WORK, name), os.path.join(WORK, name + ".torpor")
    if not os.path.isdir(folder):
        oci_image.write(folder, layers, config)
    host.torpor("build", "--from", f"oci:{folder}:latest", "-o", file, *kernel(), *options)
    return file


def shell(script, **config):
    return dict({"Entrypoint": ["/bin/sh", "-c"], "Cmd": [script]}, **config)


def start(host, name, file, *options):
    host.torpor("run", "-d", "--name", name, *options, file)


def log(host, name):
    return host.torpor("logs", name, check=False).out


def heard(host, name, text):
    """Whether the guest says it, sooner or later; one that has ended says no more."""
    def said_or_over():
        over = [m for m in json.loads(host.torpor("ps", "-a", "--json").out) if m["state"] == "exited"]
        return text in log(host, name) or name in [m["name"] for m in over]
    lab.until(said_or_over)
    return text in log(host, name)


def debian_image(tag):
    """Options for an image of images/container, whose kernel has packed modules, ext4 among them."""
    kernel = os.path.join(lab.REPOSITORY, "build/images/container/kernel")
    return ["--from", f"oci:{kernel}/../image:{tag}", "--kernel", glob.glob(f"{kernel}/boot/vmlinuz-*")[0],
            "--modules", kernel]


def inside(host, name, *argv):
    return host.torpor("exec", name, "--", *argv, check=False)


def runs_with(host, name, *argv):
    return lab.until(lambda: inside(host, name, *argv).status == 0)


def runs(host, name):
    return runs_with(host, name, "/bin/busybox", "true")


def command(host):
    """What the image says of its command is so, and the command's status is the machine's."""
    script = ('echo "ID $(id -u) $(id -g) $(id -G)"; echo "IN $PWD"; echo "ENV $GREETING $HOME $HOSTNAME"; '
              'echo "ROOT $(stat -c %a /srv/new)"; echo "NEW $(cat /etc/new) $(cat /etc/old)"; '
              'touch /tmp/written && echo WRITTEN; exit 7')
    low, high = base(), oci_image.Layer()
    low.add("etc/old", b"old")
    high.add("etc/.wh.old")
    high.add("etc/new", b"new")
    file = make(host, "command", [low, high],
                shell(script, User="web", WorkingDir="/srv/new", Env=["GREETING=hello there"],
                      Labels={"maker": "lab"}, ExposedPorts={"80/tcp": {}}))
    first = host.run("sha256sum", file).out.split()[0]
    make(host, "command", None, None)
    ok("built twice: the same bytes", host.run("sha256sum", file).out.split()[0] == first)
    said = host.torpor("inspect", file).out
    ok("labels and ports are kept", '"maker":"lab"' in said and '"torpor.ports":"80/tcp"' in said, said)
    start(host, "cmd", file)
    status = host.torpor("wait", "cmd", check=False)
    said = log(host, "cmd")
    ok("the status is wait's", (status.status, status.out) == (7, "poweroff: status 7\n"), f"{status}\n{said}")
    for what, line in (("user and groups", "ID 33 60 60 70"), ("folder", "IN /srv/new"),
                       ("variables", "ENV hello there /srv command"), ("its folder was made", "ROOT 755"),
                       ("the upper layer's files", "NEW new \n"), ("the root can be written", "WRITTEN")):
        ok(what, line in said, said)
    ok("the status is run's", host.torpor("run", file, check=False).status == 7)
    file = make(host, "killed", [base()], shell("kill -9 $$"))
    ok("killed by a signal", host.torpor("run", file, check=False).status == 137)
    file = make(host, "missing", [base()], {"Entrypoint": ["/bin/nonesuch"]})
    ok("no such command", host.torpor("run", file, check=False).status == 127)
    file = make(host, "nobody", [base()], shell("true", User="nobody"))
    ok("no such user", host.torpor("run", file, check=False).status == 126)
    file = make(host, "command", None, None, "--", "echo OTHER; exit 3")
    ok("another command", host.torpor("run", file, check=False).status == 3)


def stopping(host):
    """The power button is the image's stop signal; process 1 hands signals on and reaps orphans."""
    script = ("trap 'echo GOT INT; exit 42' INT; trap 'echo GOT USR1' USR1; (sleep 0.2 & sleep 0.3 &); "
              "echo STARTED; while true; do sleep 0.1; done")
    file = make(host, "stopping", [base()], shell(script, StopSignal="SIGINT"))
    start(host, "stop", file)
    ok("it starts", heard(host, "stop", "STARTED"), log(host, "stop"))
    ok("commands run in it", runs(host, "stop"))
    inside(host, "stop", "kill", "-USR1", "1")
    ok("a signal for process 1 reaches it", heard(host, "stop", "GOT USR1"), log(host, "stop"))
    zombies = inside(host, "stop", "sh", "-c", "sleep 1; cat /proc/[0-9]*/stat | while read -r pid name state rest; do "
                     "[ $state != Z ] || echo $pid $name; done")
    ok("orphans are reaped", zombies.status == 0 and zombies.out == "", zombies)
    host.torpor("stop", "-t", "600", "stop")
    status = host.torpor("wait", "stop", check=False)
    ok("the stop signal ends it, with its status", status.status == 42, status)
    ok("the power button was enough", not life.agent_was_asked(host, "stop"))
    ok("which it heard", "GOT INT" in log(host, "stop"), log(host, "stop"))


def without_shell(host):
    """An image with one static program: commands, save and wake, a new identity."""
    file = make(host, "bare", [base(applets=[])], {"Cmd": ["/bin/busybox", "sleep", "100000"], "User": "4711:60"})
    start(host, "bare", file)
    ok("commands run", runs(host, "bare"), log(host, "bare"))
    got = inside(host, "bare", "/bin/busybox", "id", "-G")
    ok("as root", got.out == "0\n", got)
    got = host.torpor("cp", "bare:/bin", os.path.join(WORK, "bare-bin"), check=False)
    ok("cp says what it needs", got.status == 125 and "cp needs a shell and tar there" in got.err, got)
    before = inside(host, "bare", "/bin/busybox", "cat", "/sys/class/net/eth0/address").out
    saved = os.path.join(WORK, "bare-live.torpor")
    host.torpor("save", "bare", "-o", saved)
    host.torpor("resume", saved, "-d", "--name", "twin", "--new-identity")
    lab.until(lambda: "guest's clock is set" in host.torpor("logs", "--host", "twin").out)
    said = host.torpor("logs", "--host", "twin").out
    ok("its clock is set, and no hooks are no fault", "0 wake hooks have run" in said and "is set" in said, said)
    ok("another host name", inside(host, "twin", "/bin/busybox", "hostname").out == "twin\n")
    address = inside(host, "twin", "/bin/busybox", "cat", "/sys/class/net/eth0/address").out
    ok("another card", len(address) == len(before) and address != before, before + address)
    ok("a lease for it", lab.until(lambda: "10.0.2.15" in inside(host, "twin", "/bin/busybox", "ip", "addr").out))
    host.torpor("stop", "-t", "600", "twin")
    status = host.torpor("wait", "twin", check=False)
    ok("TERM is the usual stop signal", status.status == 143, status)


def redis(host):
    """Debian's redis-server as an image would have it; a saved one has its keys."""
    layer, tree = base(), os.path.join(WORK, "redis-tree")
    for package in ("redis-server", "redis-tools", "libc6", "libatomic1", "libgcc-s1", "libjemalloc2", "liblua5.1-0",
                    "liblzf1", "libsystemd0", "libssl3", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1",
                    "liblzma5", "libzstd1", "libstdc++6", "lua-cjson", "lua-bitop"):
        unpack(f"{package}_*_amd64.deb", tree)
    layer.tree(tree)
    file = make(host, "redis", [layer], {"Entrypoint": ["/usr/bin/redis-server"], "User": "web", "WorkingDir": "/srv",
                                         "Cmd": ["--save", "", "--bind", "0.0.0.0", "--protected-mode", "no"]})
    start(host, "redis", file)
    ask = ["/usr/bin/redis-cli"]
    ok("it answers", lab.until(lambda: inside(host, "redis", *ask, "ping").out == "PONG\n"), log(host, "redis"))
    inside(host, "redis", *ask, "set", "key", "value")
    saved = os.path.join(WORK, "redis-live.torpor")
    host.torpor("save", "redis", "-o", saved)
    host.torpor("resume", saved, "-d", "--name", "again")
    ok("awake, commands run", runs(host, "again"))
    got = inside(host, "again", *ask, "get", "key")
    ok("it has its key", got.out == "value\n", got)
    host.torpor("stop", "-t", "600", "again")
    status = host.torpor("wait", "again", check=False)
    ok("TERM ends it in its own way", status.status == 0, status)


def systemd(host):
    """An image whose command is systemd: it is process 1, and services run. The kernel is Debian's generic one,
    and two cards have addresses."""
    file = os.path.join(WORK, "systemd.torpor")
    host.torpor("build", "-o", file, "-m", "384M", "--net", "user", "--net", "user", *debian_image("init"))
    start(host, "init", file, "--net", "user", "--net", "user")
    ok("commands run", runs_with(host, "init", "true"), log(host, "init"))
    ok("systemd is process 1", lab.until(lambda: inside(host, "init", "cat", "/proc/1/comm").out == "systemd\n"),
       inside(host, "init", "ps", "ax"))
    ok("its service answers", lab.until(lambda: inside(host, "init", "redis-cli", "ping").out == "PONG\n"),
       log(host, "init"))
    ok("its commands go through the port", way(host, "init", "sh") == "port")
    got = shell_here(host, """
        set -e; rm -rf /tmp/cp; mkdir -p /tmp/cp/tree/sub; cd /tmp/cp
        head -c 3000000 /dev/urandom >tree/sub/big; chmod 640 tree/sub/big
        torpor cp tree init:/var/tmp; torpor cp init:/var/tmp/tree back; diff -r tree back
        torpor exec -i init -- sha256sum - <tree/sub/big; sha256sum - <back/sub/big; stat -c %a back/sub/big""")
    ok("files and streams, there and back", got.status == 0 and len(set(got.out.split("\n")[:2])) == 1 and got.out.endswith("\n640\n"),
       got)
    loaded = inside(host, "init", "cat", "/proc/modules").out
    ok("packed modules were loaded, the root's among them",
       all(re.search(rf"(?m)^{name} ", loaded) for name in ("ext4", "virtio_blk", "virtio_mmio", "virtio_net")), loaded)
    both = lab.until(lambda: (said := inside(host, "init", "ip", "-4", "-o", "addr").out).count("10.0.2.15") == 2 and said)
    ok("each card has a lease", both and "eth0" in both and "eth1" in both, inside(host, "init", "ip", "addr"))
    host.torpor("stop", "-t", "600", "init")
    status = host.torpor("wait", "init", check=False)
    ok("the power button makes systemd switch off", (status.status, status.out) == (0, "poweroff\n"),
       f"{status}\n{log(host, 'init')}")
    ok("nobody had to ask its agent", not life.agent_was_asked(host, "init"))


if __name__ == "__main__":
    sys.exit(suite.main([command, stopping, without_shell, redis, systemd], hosts=1))
