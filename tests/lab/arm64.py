"""Scenarios on two hosts of arm64: what travels does there, too; an appliance of redis in every form."""

import contextlib
import json
import os
import re
import sys
import time

import build
import guest as lab
import life
import other_arch
import suite
import travel
from overwire import REGISTRY, RELAY, Relay, arriving
from paged import paging
from shop import REDIS, Shop
from suite import DEBIAN, DISK, note, ok

TRANSCRIPT = os.path.join(lab.REPOSITORY, "tests/transcripts/real/redis/data.t")
PUBLISHED = ["-p", "127.0.0.1:0:6379"]
DAMAGED = 121


@contextlib.contextmanager
def step(name):
    """How long a part of a scenario took."""
    start = time.monotonic()
    yield
    note(f"{name}: {time.monotonic() - start:.0f} s")


def under_load_on_arm64(host1, host2):
    travel.under_load(host1, host2)


def random_is_renewed(host, name):
    wake = json.loads(host.torpor("inspect", "--json", name).out)["wake"]
    return wake["random"] not in ("owed", "busy") and wake


def different_random_numbers(host, guest, file):
    """Debian's kernel has no driver of the generation id on arm64."""
    twin = lab.Guest.wake(host, "twin", file)
    states = [lab.until(lambda name=name: random_is_renewed(host, name)) for name in ("again", "twin")]
    ok("the agent renews the random numbers of a guest that does not hear of its new generation",
       all(state and state["random"] == "done" for state in states), states)
    drawn = [one.say("random") for one in (guest, twin)]
    ok("two machines of one file draw different random numbers", drawn[0] != drawn[1], drawn)
    twin.kill()


def life_on_arm64(host1, _host2):
    """A minute of pause. Every vCPU, with SVE and a PMU, and the chip as after power-on, in a machine that was saved, too. The kernel has no driver of
    the power key: the agent is asked."""
    life.paused_in_place(host1)
    guest = lab.Guest.boot(host1, "again", *DEBIAN, *DISK, "-c", "4", "--cpu", "host")
    before = guest.memory()
    file = host1.path("again.torpor")
    lab.until(lambda: host1.torpor("exec", "again", "--", "busybox", "true", check=False).status == 0)
    guest.save(file)
    guest = lab.Guest.wake(host1, "again", file)
    ok("four CPUs, woken: nonce and counter", guest.remembers(before))
    registers = json.loads(host1.torpor("inspect", "--json", file).out)["appliance"]["cpu"]["id_registers"]
    ok("they have SVE and a PMU", "SVE_VLS" in registers and int(registers["ID_AA64DFR0_EL1"], 16) >> 8 & 0xf, registers)
    different_random_numbers(host1, guest, file)
    guest.console.write("sh reboot -f")
    ok("a reboot is a new guest with four CPUs",
       guest.hear(lab.READY) and guest.memory().nonce != before.nonce and guest.say("monotone 1").startswith("ok cpus=4"))
    lab.until(lambda: host1.torpor("exec", "again", "--", "busybox", "true", check=False).status == 0)
    host1.torpor("stop", "-t", lab.PATIENCE, "again")
    life.check_end(host1, "torpor stop: the agent switches it off, and PSCI's SYSTEM_OFF ends the machine", "again")
    ok("the kernel has no driver of the power key", life.agent_was_asked(host1, "again"))


def appliance_on_arm64(host1, host2):
    """redis on host1, saved in every form, and what each of them is on host2."""
    with step("arm64_boot"):
        shop = Shop.boot(host1, "web", *REDIS, "-c", "2", *PUBLISHED)
        no_complaint(shop)
        shop.open()
    with step("arm64_network"):
        shop.say("redis config set protected-mode no")
        shop.say("redis config set bind 0.0.0.0")
        network(shop)
        commands(shop)
    with step("arm64_saves"):
        shop.say("redis set recorded yes")
        before = shop.look()
        names = make_forms(shop)
        for name in names:
            host1.send(host1.path(name), host2, host2.path(name))
    with step("arm64_increment"):
        shop = Shop.wake(host2, "web", host2.path("increment.torpor"), "--fill", "none", *PUBLISHED)
        ok("an increment on the other host: all of its keys, and it works on", shop.went_on(before))
        network(shop)
        commands(shop)
        shop.kill()
    with step("arm64_hot"):
        hot_waits_less(host2, before)
    with step("arm64_transcript"):
        got = host2.torpor("test", "--from", host2.path("signed.torpor"), TRANSCRIPT, check=False)
        ok("a transcript on a golden of the other host", got.status == 0 and
           got.out.endswith("1 passed, 0 failed, 0 not run\n"), got)
    with step("arm64_encrypted"):
        with_key_only(host2, before)


def no_complaint(guest):
    """Of the kernel about what the device tree says: a warning, or a line of its own parser at all. How long
    an interrupt took is said of a host that is busy."""
    guest.console.write(r"sh dmesg -r | grep -E '^<[0-4]>|\] OF:' | grep -v 'hrtimer: interrupt took'")
    line = guest.hear(r"^<|^sh exit")
    ok("the guest's kernel has no complaint about the device tree", line == "sh exit 1", line)
    guest.console.write("sh dmesg | grep -cE 'PSCIv1|GICv3: CPU|arch_timer: cp15|ttyS0 at MMIO|pl031.*registered|pl061.*registered'")
    line = guest.hear(r"^\d+$")
    ok("it has found PSCI, redistributors, timer, UART, clock and GPIO there", line == "7", line)


def network(shop):
    """Through the published port, as somebody outside sees it."""
    port = re.search(r":(\d+)$", shop.host.torpor("port", shop.name).out.strip())[1]
    got = shop.host.run("bash", "-c", r"""
        exec 3<>/dev/tcp/127.0.0.1/$1; for i in 1 2; do printf 'incr orders\r\n' >&3; read -r answer <&3; echo "$answer"; done""",
        "bash", port, check=False)
    ok(f"{shop.host.name}: the guest's server answers at a published port",
       re.fullmatch(r":(\d+)\s+:(\d+)\s+", got.out) and int(got.out.split()[1][1:]) == int(got.out.split()[0][1:]) + 1, got)


def commands(shop):
    """`torpor exec` and `torpor cp`."""
    host, name = shop.host, shop.name
    lab.until(lambda: host.torpor("exec", name, "--", "busybox", "true", check=False).status == 0)
    got = host.torpor("exec", name, "--", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    ok(f"{host.name}: exec: outputs apart, and the status", (got.status, got.out, got.err) == (7, "out\n", "err"), got)
    got = host.run("bash", "-c", r"""
        set -e; rm -rf /tmp/cp; mkdir -p /tmp/cp/tree/sub; cd /tmp/cp
        head -c 300000 /dev/urandom >tree/sub/big; echo one >tree/one; ln -s ../one tree/sub/link; chmod 711 tree/sub
        "$1" exec "$2" -- busybox rm -rf /run/there; "$1" cp tree "$2:/run/there"; "$1" cp "$2:/run/there" back
        diff -r --no-dereference tree back; stat -c %a back/sub
        "$1" exec -i "$2" -- busybox sha256sum <tree/sub/big; sha256sum <back/sub/big""", "bash", lab.TORPOR, name, check=False)
    lines = got.out.split("\n")
    ok(f"{host.name}: cp and streams, there and back", got.status == 0 and lines[0] == "711" and
       len(lines) == 4 and lines[1] == lines[2] and len(lines[1]) > 64, got)


def make_forms(shop):
    """Of a machine that goes on, but for the last one."""
    host = shop.host
    host.run("sh", "-c", 'printf "%064d" 7 >"$1"; chmod 600 "$1"', "sh", host.path("encrypted.key"))
    host.torpor("keygen", "--no-passphrase", "-p", host.path("key.pub"), "-s", host.path("secret.key"))
    shop.save(host.path("packed.torpor"), "-R")
    shop.save(host.path("increment.torpor"), "-R", "--parent", host.path("packed.torpor"))
    shop.save(host.path("encrypted.torpor"), "--full", "--encrypt", "--key-file", host.path("encrypted.key"))
    host.torpor("sign", "-s", host.path("secret.key"), "-o", host.path("signed.torpor"), host.path("packed.torpor"))
    host.torpor("warm", "--for", "4", "-o", host.path("hot.torpor"), host.path("packed.torpor"))
    return ["key.pub", "encrypted.key"] + [
        name + ".torpor" for name in ("packed", "increment", "encrypted", "signed", "hot")]


def first_answer(host, file, before, *argv):
    """A machine of that file, which is the one of before, and what it had waited for until it said so."""
    shop = Shop.wake(host, "web", file, *argv)
    ok(f"{os.path.basename(file)}: nonce", shop.say("nonce") == before.nonce)
    return shop


def hot_waits_less(host, before):
    """Packed and signed, and the same with its hot set in front."""
    key = host.path("key.pub")
    shop = first_answer(host, host.path("signed.torpor"), before, "--fill", "none", "--require-signature", key)
    seen = paging(shop)
    ok("packed, signed: it answers before all of its memory is there", seen["present"] < seen["frames"] and not seen["filled"], seen)
    shop.kill()
    hot = first_answer(host, host.path("hot.torpor"), before, "--fill", "none")
    faults = paging(hot)["faults"]
    ok("with its hot set in front it waits for less", faults < seen["faults"], f"{seen} {faults}")
    note(f"{seen['faults']} frames waited for, {faults} after warming")
    hot.kill()
    done = host.torpor("resume", "-d", "--require-signature", key, host.path("packed.torpor"), check=False)
    ok("what nobody signed is refused", done.status == DAMAGED, done)


def with_key_only(host, before):
    file = host.path("encrypted.torpor")
    done = host.torpor("resume", "-d", file, check=False)
    ok("encrypted, it does not wake without its key", done.status != 0 and "key" in done.err, done)
    shop = Shop.wake(host, "web", file, "--key-file", host.path("encrypted.key"))
    ok("encrypted: all of its keys, and it works on", shop.went_on(before))
    shop.kill()


def image_on_arm64(host1, host2):
    """`build --from` an image for both architectures takes this host's. Saved, it wakes on the other host by HTTP."""
    kernel = os.path.join(lab.REPOSITORY, "build/lab/arm64/kernel")  # the hosts' own: it has a driver of the power key
    cold, live = host1.path("cold.torpor"), host1.path("live.torpor")
    host1.torpor("build", "--from", f"oci:{lab.REPOSITORY}/build/lab-bin-arm64/image:latest", "-o", cold,
                 "--kernel", f"{kernel}/vmlinux", "--modules", kernel)
    host1.torpor("run", "-d", "--name", "app", cold)
    ok("the image's command is arm64's", build.heard(host1, "app", "arm64\n"), build.log(host1, "app"))
    ok("commands run in it", build.runs(host1, "app"))
    host1.torpor("exec", "-d", "app", "--", "sh", "-c", "echo $$ >/tmp/pid; exec sleep 100000")
    host1.torpor("save", "app", "-o", live)
    with serving(host1, live) as address:
        host2.torpor("resume", "-d", "--name", "app", "--plain-http", f"http://{address}/live.torpor")
        ok("on the other host it goes on", build.runs_with(host2, "app", "sh", "-c", "kill -0 $(cat /tmp/pid)"))
        first = arriving(host2, "app")
        share = first["there"] / first["bytes"]
        note(f"first answer with {first['there'] >> 10} of {first['bytes'] >> 10} KiB: {share * 100:.1f} %")
        ok("it answers before all of the bytes are there", share < 1, first)
        host2.torpor("stop", "-t", lab.PATIENCE, "app")
        status = host2.torpor("wait", "app", check=False)
        ok("the power key reaches it there, with its status", status.status == 7, f"{status}\n{build.log(host2, 'app')}")
        ok("nobody had to ask its agent", not life.agent_was_asked(host2, "app"))


@contextlib.contextmanager
def serving(host, file):
    """`torpor serve` on host1, behind a slow link for the other host: where."""
    server = lab.Console(host.prefix + [lab.TORPOR, "serve", "--listen", f"0.0.0.0:{REGISTRY}", file])
    relay = Relay("10.77.0.1")
    try:
        lab.until(lambda: host.run("bash", "-c", f": <>/dev/tcp/127.0.0.1/{REGISTRY}", check=False).status == 0)
        yield f"10.77.0.1:{RELAY}"
    finally:
        relay.go_away()
        server.end()


def other_architecture_on_arm64(host1, _host2):
    """What arm64 says of files that x86-64 must wake for ever. The suite arm64 of tests/run has the same the other way round."""
    other_arch.answers(host1, f"{suite.image('debian')}/vmlinuz")


if __name__ == "__main__":
    sys.exit(suite.main([under_load_on_arm64, life_on_arm64, appliance_on_arm64, image_on_arm64, other_architecture_on_arm64],
                        hosts=2, joined="arm64"))
