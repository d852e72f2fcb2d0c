"""Scenarios on two hosts: a packed file, signed, warmed and damaged, with redis in it at work."""

import json
import struct
import sys
import tarfile

import guest as lab
import suite
from shop import REDIS, Shop
from suite import note, ok

SEEK_TABLE = 0x8F92EAB1
DAMAGED = 121


def from_packed(host1, host2):
    shop = Shop.boot(host1, "web", *REDIS)
    shop.open()
    before = shop.look()
    files = make_files(shop)
    shop.went_on(before)
    shop.kill()
    for file in files:
        host1.send(host1.path(file), host2, host2.path(file))
        host1.run("rm", host1.path(file))

    web = wakes_unread(host2, before)
    warmed_waits_less(host2, before, paging(web)["faults"])
    signed_or_not(host2)
    the_rest_arrives(web, before)
    damage_breaks_one(host2, [web], before)


def make_files(shop):
    """Of a machine that goes on: as saved and signed, with its hot set in front, and damaged."""
    host = shop.host
    host.run("mkdir", "-p", host.path("keys"))
    for key in ("web", "other"):
        host.torpor("keygen", "--no-passphrase", "-p", host.path(f"{key}.pub"),
                    "-s", host.path(f"{key}.key"))
    file = host.path("web.torpor")
    ms = shop.save(file, "-R")
    host.torpor("sign", "-s", host.path("web.key"), file)
    warm = host.torpor("warm", "--for", "8", "-o", host.path("warmed.torpor"), file).ms
    note(f"packed: {mib(host, file):.1f} MiB in {ms / 1000:.1f} s; warmed in {warm / 1000:.1f} s: "
         f"{mib(host, host.path('warmed.torpor')):.1f} MiB")
    damage(file, host.path("warmed.torpor"), host.path("damaged.torpor"))
    return ["web.pub", "other.pub", "web.torpor", "warmed.torpor", "damaged.torpor"]


def mib(host, file):
    return int(host.run("stat", "-c", "%s", file).out) / (1 << 20)


def damage(file, warmed, out):
    """Flip one bit in the middle of a packed frame that the clone touched when it was warmed."""
    with tarfile.open(warmed) as tar:
        places = tar.extractfile("memory.0.hotlist").read()
    place, = struct.unpack_from("<Q", places, len(places) // 16 * 8)
    with open(file, "rb") as source, open(out, "wb") as copy:
        content = bytearray(source.read())
        content[middle_of_frame(file, content, place)] ^= 0x10
        copy.write(content)


def middle_of_frame(file, content, place):
    """Where in the file that frame of memory.0 is, by the seek tables of its parts."""
    with tarfile.open(file) as tar:
        part = 0
        while True:
            blob = tar.getmember(tar.getmember(f"memory.0.{part}").linkname)
            sizes = seek_table(content[blob.offset_data:blob.offset_data + blob.size])
            if place < len(sizes):
                return blob.offset_data + sum(sizes[:place]) + sizes[place] // 2
            place -= len(sizes)
            part += 1


def seek_table(part):
    count, descriptor, magic = struct.unpack("<IBI", part[-9:])
    entry = 12 if descriptor & 0x80 else 8
    if magic != SEEK_TABLE:
        raise lab.Failure("a packed part has no seek table")
    return [size for size, *_ in struct.iter_unpack("<I4x" if entry == 8 else "<I8x",
                                                     part[-9 - count * entry:-9])]


def paging(guest):
    return json.loads(guest.host.torpor("stats", "--json", guest.name).out)["paging"]


def wakes_unread(host, before):
    web = Shop.wake(host, "web", host.path("web.torpor"), "--fill", "none",
                    "--require-signature", host.path("web.pub"))
    ok("packed, signed, on the other host: nonce", web.say("nonce") == before.nonce)
    first = paging(web)
    note(f"first answer of {first['frames']} frames: {first['present']} there, "
         f"{first['faults']} waited for")
    ok("it answers before most of its memory is there", first["present"] < first["frames"] / 2,
       first)
    ok("all of its keys, and it works on", web.went_on(before))
    after = paging(web)
    ok("what nobody touched is not there",
       after["present"] < after["frames"] and after["filled"] == 0, after)
    return web


def warmed_waits_less(host, before, cold):
    warmed = Shop.wake(host, "warmed", host.path("warmed.torpor"), "--fill", "none",
                       "--require-signature", host.path("web.pub"))
    ok("warmed: the signature holds, its keys are there, it works on", warmed.went_on(before))
    faults = paging(warmed)["faults"]
    ok("warmed, it waits for less than two thirds as many frames", faults < cold * 2 / 3,
       f"{cold} before, {faults} warmed")
    note(f"{cold} frames waited for; {faults} after warming")
    warmed.kill()


def signed_or_not(host):
    done = host.torpor("resume", "-d", "--require-signature", host.path("other.pub"),
                       host.path("web.torpor"), check=False)
    ok("a file that another key signed is refused", done.status == DAMAGED, done)


def the_rest_arrives(web, before):
    web.host.torpor("stats", "--fill", "idle", web.name)
    ok("the rest arrives beside its work", lab.until(lambda: is_all_there(paging(web))), paging(web))
    ok("and nothing of it is wrong", web.went_on(before))


def is_all_there(seen):
    return seen["present"] == seen["frames"]


def damage_breaks_one(host, others, before):
    """It is touched soon, for it was when the clone was watched."""
    damaged = Shop.wake(host, "damaged", host.path("damaged.torpor"), "--fill", "none")
    done = host.torpor("wait", "damaged", check=False)
    ok("a damaged frame breaks the machine that touches it, and is named",
       done.status == 125 and "frame" in done.out and "memory.0" in done.out, done)
    note(done.out.strip())
    listed = {m["name"]: m["state"] for m in json.loads(host.torpor("ps", "--json").out)}
    ok("broken it stays, to be looked at", listed["damaged"] == "broken", listed)
    ok("others are not affected", all(other.went_on(before) for other in others))
    damaged.kill()
    ok("verify finds it too",
       host.torpor("verify", host.path("damaged.torpor"), check=False).status == DAMAGED)


if __name__ == "__main__":
    sys.exit(suite.main([from_packed], hosts=2))
