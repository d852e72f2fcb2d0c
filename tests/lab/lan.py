"""Scenarios with a virtual LAN: guests that find each other by name, whose connections outlive a pause and
a save; a clash of addresses; QEMU as a member; one LAN on two hosts."""

import concurrent.futures
import json
import subprocess
import sys
import time

import guest as lab
import suite
from suite import DEBIAN, note, ok
from web import WEB, Web

LAN = "blue"
PAUSE = 60
MEMBER = [*WEB, "--net", f"lan={LAN}"]


def members(host1, host2):
    """Two on one host, who talk while one of them is paused, and saved and woken; then others join."""
    host1.torpor("lan", "create", LAN, "--dhcp")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ann, bob = pool.map(lambda name: Web.boot(host1, name, *MEMBER), ("ann", "bob"))
    addresses = [guest.await_net() for guest in (ann, bob)]
    ok("DHCP gives each an address of its own", len({ip for ip, _ in addresses}) == 2, addresses)
    ok("each finds the other by name",
       ann.say("http http://bob/") == bob.say("http http://ann/") == "200 6 awake")
    rates = ann.say("iperf bob -t 3").split()
    note(f"iperf3: {int(rates[1]) / 1e6:.0f} Mbit/s")
    ok("iperf3 runs from one to the other", int(rates[1]) > 0, rates)
    paused(host1, ann)
    bob = saved(host1, ann, bob)
    clash(host1, ann, bob)
    qemu_joins(host1, ann)
    two_hosts(host1, host2, ann)
    for guest in (ann, bob):
        guest.kill()
    host1.torpor("lan", "rm", LAN)


def paused(host, ann):
    """bob is, in the middle of two connections."""
    ann.say(f"sh (iperf3 -c bob -R -b 500k -t {PAUSE + 12}; echo ends $?) >/run/talk 2>&1 &")
    start_download(ann)
    host.torpor("pause", "bob")
    time.sleep(PAUSE)
    ok("a download from who is paused stands still", is_downloading(ann))
    host.torpor("unpause", "bob")
    check_download(ann, f"a pause of {PAUSE} s")
    lab.until(lambda: ann.say("sh grep -q '^ends' /run/talk") == "exit 0")
    ok("iperf3 does, too", ann.say("sh grep -q '^ends 0$' /run/talk") == "exit 0")


def start_download(ann):
    """It has begun, and whoever reads it does so slowly until check_download()."""
    ann.say("sh rm -f /run/hurry /run/fetched /run/fetch-ended")
    ann.say("sh (curl -sS http://bob/big | (until [ -e /run/hurry ]; do dd bs=4k count=1; sleep 0.2; done; cat)"
            " >/run/fetched; : >/run/fetch-ended) >/dev/null 2>&1 &")
    lab.until(lambda: ann.say("sh [ -s /run/fetched ]") == "exit 0")


def is_downloading(ann):
    return ann.say("sh pidof curl >/dev/null") == "exit 0"


def check_download(ann, through):
    ann.say("sh : >/run/hurry")
    lab.until(lambda: ann.say("sh [ -e /run/fetch-ended ]") == "exit 0")
    ok(f"a download lives through {through}, to the last byte",
       ann.say("sh seq 1000000 1524287 | cmp - /run/fetched") == "exit 0")


def saved(host, ann, bob):
    """bob, while ann fetches slowly; he comes back before TCP loses patience."""
    before = bob.memory()
    address = bob.await_net()
    start_download(ann)
    file = host.path("bob.torpor")
    bob.save(file, "--flat")
    time.sleep(3)
    bob = Web.wake(host, "bob", file, "--net", f"lan={LAN}")
    ok("saved and woken on the LAN: nonce and counter", bob.remembers(before))
    ok("with the address it had", bob.await_net() == address)
    check_download(ann, "save and resume")
    host.run("rm", file)
    return bob


def clash(host, ann, bob):
    """A second bob is refused, until he has another identity."""
    file = host.path("twin.torpor")
    bob.save(file, "-R", "--flat")
    mac = bob.await_net()[1]
    twin = ["resume", file, "-d", "--name", "eve", "--net", f"lan={LAN}"]
    done = host.torpor(*twin, check=False)
    ok("a second machine with the same MAC is refused by name", done.status != 0
       and len(done.err.splitlines()) == 1 and "bob" in done.err and mac in done.err, done)
    ok("and the first goes on", ann.say("http http://bob/") == "200 6 awake")
    host.torpor(*twin, "--new-identity")
    eve = Web(host, "eve")
    told = eve.await_wakes(2)  # the first was bob's
    new = eve.await_net()
    ok("with --new-identity it has another MAC and another address",
       told["identity"] == "1" and told["mac"] == new[1] and new[1] != mac
       and new[0] != bob.await_net()[0], (told, new))
    ok("both are found by their names",
       ann.say("http http://bob/") == ann.say("http http://eve/") == "200 6 awake")
    eve.kill()
    host.run("rm", file)


def qemu_joins(host, ann):
    """QEMU's stream netdev, as it is."""
    kernel, initrd, append = DEBIAN[1::2]
    console = lab.Console(host.prefix + [
        "qemu-system-x86_64", "-M", "microvm,acpi=on,rtc=on", "-accel", "kvm", "-cpu", "host", "-m", "128",
        "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
        "-append", append, "-netdev",
        f"stream,id=lan,server=off,addr.type=unix,addr.path={qemu_socket(host)}",
        "-device", "virtio-net-device,netdev=lan"])
    ready = console.wait(lab.READY)
    ok("QEMU boots on the LAN", ready, list(console.lines)[-10:])
    lab.until(lambda: net_of(console)[0] != "-")
    address, mac = net_of(console)
    ok("has an address by DHCP", address != "-", mac)
    console.write(f"sh wget -q -O - http://{ann.await_net()[0]}/")
    ok("sees a guest's page", console.wait("^awake$"))
    ok("and is seen", ann.say(f"sh ping -c 1 -W {lab.PATIENCE} {address} >/dev/null") == "exit 0")
    console.end()


def net_of(console):
    """The address, or `-`, and the MAC of the guest at that console."""
    console.write("net")
    return (console.wait("^net ") or "net - -").split()[1:3]


def qemu_socket(host):
    listed = json.loads(host.torpor("lan", "ls", "--json").out)
    return next(lan["qemu"] for lan in listed if lan["name"] == LAN)


def two_hosts(host1, host2, ann):
    """The same LAN, its switches joined through a stream between the hosts."""
    host2.torpor("lan", "create", LAN)
    serve = [*host2.prefix, lab.TORPOR, "lan", "serve", LAN]
    join = subprocess.Popen([*host1.prefix, lab.TORPOR, "lan", "join", LAN, "--", *serve],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    try:
        cat = Web.boot(host2, "cat", *MEMBER)
        ok("a guest on another host has an address by DHCP of the same LAN",
           cat.await_net()[0] not in ("-", ann.await_net()[0]))
        ok("its page is seen from here", ann.say(f"http http://{cat.await_net()[0]}/") == "200 6 awake")
        ok("and ours from there, by name", cat.say("http http://ann/") == "200 6 awake")
        cat.kill()
    finally:
        join.terminate()
        note("lan join said: " + (join.communicate()[0].strip() or "nothing"))
    host2.torpor("lan", "rm", LAN)


if __name__ == "__main__":
    sys.exit(suite.main([members], hosts=2))
