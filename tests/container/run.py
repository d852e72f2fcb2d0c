#!/usr/bin/env python3
"""Roots of container images: the tree is umoci's, entry by entry; the bytes are the same each time; hostile
images are refused. `ok - `, `not ok - ` and `skip - ` lines; as root, because umoci and mount want it."""
import hashlib
import json
import os
import resource
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from layout import (INDEX, LAYER, Layout, digest, entry, file, folder, image, link, pack, symlink,  # noqa: E402
                    tar)

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
ROOT = f"{BUILD}/tests/container/root"
USAGE, INCOMPATIBLE, INTEGRITY, NOT_FOUND = 2, 3, 4, 5
failures = 0


def report(name, problem=None):
    global failures
    if problem is None:
        print(f"ok - {name}", flush=True)
        return
    failures += 1
    print(f"not ok - {name}", flush=True)
    for line in str(problem).splitlines()[:20]:
        print(f"    {line}")


def make(source, out, *limits):
    return subprocess.run([ROOT, source, out, *map(str, limits)], capture_output=True, text=True)


def judge(path):
    check = subprocess.run(["/sbin/e2fsck", "-fn", path], capture_output=True, text=True)
    if check.returncode != 0:
        raise AssertionError(check.stdout)


def made(source, out="out.ext4", *limits):
    """What the root of a source is; e2fsck has found no fault with it."""
    ran = make(source, out, *limits)
    if ran.returncode != 0:
        raise AssertionError(f"{source}: {ran.stderr}")
    judge(out)
    return json.loads(ran.stdout)


def hash_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(f.read()).hexdigest()


# --- trees ---

def describe(path):
    st = os.lstat(path)
    what = {"mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns, "inode": st.st_ino}
    if stat.S_ISREG(st.st_mode):
        what["size"] = st.st_size
        what["data"] = hash_of(path)
    if stat.S_ISLNK(st.st_mode):
        what["target"] = os.readlink(path)
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        what["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    what["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex()
                      for name in sorted(os.listxattr(path, follow_symlinks=False))}
    return what


def tree(root):
    """Every path with what is there; hard links are told by the first of their names."""
    root = os.fsencode(root)
    found, inodes = {}, {}
    for where, folders, files in os.walk(root):
        for name in sorted(folders + files):
            path = os.path.join(where, name)
            found[os.path.relpath(path, root)] = describe(path)
    found[b"."] = describe(root)
    for path in sorted(found):
        found[path]["inode"] = inodes.setdefault(found[path]["inode"], path)
    return found


def difference(ours, theirs, loose):
    """`loose`: folders that no layer has, which umoci makes at this moment."""
    said = []
    for path in sorted(set(ours) | set(theirs)):
        a, b = ours.get(path), theirs.get(path)
        if a is not None and b is not None and path.decode(errors="replace") in loose:
            a, b = dict(a, mtime=0), dict(b, mtime=0)
        if a != b:
            said.append(f"{path}:\n  torpor {a}\n  umoci  {b}")
    return "\n".join(said) or None


class Mounted:
    def __init__(self, path, how="ro"):
        self.path, self.at, self.how = path, "mnt", how

    def __enter__(self):
        os.makedirs(self.at, exist_ok=True)
        subprocess.run(["mount", "-t", "ext4", "-o", f"loop,{self.how}", self.path, self.at], check=True)
        return self.at

    def __exit__(self, *ignored):
        subprocess.run(["umount", self.at], check=True)


def compare(name, layers, loose=(), **more):
    shutil.rmtree("img", ignore_errors=True)
    shutil.rmtree("b", ignore_errors=True)
    try:
        image("img", layers, **more)
        made("oci:img:t")
        subprocess.run(["umoci", "unpack", "--image", "img:t", "b"], check=True, capture_output=True)
        with Mounted("out.ext4") as at:
            report(name, difference(tree(at), tree("b/rootfs"), set(loose)))
    except subprocess.CalledProcessError as e:
        report(name, f"{e}: {e.stderr}")
    except Exception:
        report(name, traceback.format_exc())


def against_source(name, layer, source):
    with open("layer.tar", "wb") as f:
        f.write(layer)
    made("tar:layer.tar")
    with Mounted("out.ext4") as at:
        ours, theirs = tree(at), tree(source)
        whole = {"mtime": 0}  # GNU's format has seconds only
        report(name, difference({k: v | whole for k, v in ours.items()},
                                {k: v | whole for k, v in theirs.items()}, set()))


def top(**more):
    return folder("./", mtime=1500000000, **more)


ACL = bytes.fromhex("02000000" "01000600ffffffff" "0200040021030000" "04000400ffffffff" "10000400ffffffff"
                    "20000400ffffffff")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def xattr(name, value):
    return {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")}


def sparse(style):
    """A tar of GNU tar of a file with holes."""
    os.makedirs("s", exist_ok=True)
    with open("s/holes", "wb") as f:
        for at in range(0, 40):
            f.seek(at * 70000 + 123)
            f.write(b"data" * 300)
        f.truncate(40 * 70000 + 99999)
    with open("s/nothing", "wb") as f:
        f.truncate(1 << 20)
    os.utime("s", (1500000000, 1500000000))
    return subprocess.run(["tar", "-C", "s", "--sort=name", "-Sc", f"--format={style}", "--numeric-owner", "."],
                          check=True, capture_output=True).stdout


def long_names():
    deep = "/".join("n" * 250 for _ in range(14))
    some = [top(), file("x" * 255, "long")]
    parts = deep.split("/")
    some += [folder("/".join(parts[:i + 1])) for i in range(len(parts))]
    return some + [file(f"{deep}/file", "deep"), symlink("far", deep + "/file"), link("near", f"{deep}/file"),
                   symlink("very-far", "t" * 4000)]


def trees():
    base = [top(), folder("d"), file("d/a", "a"), file("d/b", "b"), folder("d/s"), file("d/s/c", "c"), file("f", "f")]
    compare("plain files", [base])
    compare("no layers' root", [[folder("x")]], loose=["."])
    compare("an empty layer", [base, [], tar([])])
    compare("whiteout of a file", [base, [top(), folder("d"), file("d/.wh.a"), file(".wh.f")]])
    compare("whiteout of a folder", [base, [top(), file(".wh.d")]])
    compare("whiteout before and after its successor",
            [base, [top(), file(".wh.f"), file("f", "new"), folder("d"), file("d/a", "new"), file("d/.wh.a")]])
    compare("opaque before the entries",
            [base, [top(), folder("d"), file("d/.wh..wh..opq"), file("d/new", "n")]])
    compare("opaque behind the entries",
            [base, [top(), folder("d"), file("d/new", "n"), folder("d/s"), file("d/s/new"), file("d/.wh..wh..opq")]],
            loose=["d/s"])  # whose time umoci spoils
    compare("hard links", [[top(), file("a", "x"), link("b", "a"), folder("d"), link("d/c", "./b"), link("e", "/a")]])
    compare("hard links across layers",
            [base, [top(), link("l", "d/a"), link("m", "f")], [top(), file("f", "other"), link("k", "l")]])
    compare("a folder becomes a file and one again",
            [base, [top(), file("d", "now a file")], [top(), folder("d", mode=0o700), file("d/z", "z")]])
    compare("a file becomes a folder, a link, a file",
            [base, [top(), folder("f"), file("f/x")], [top(), symlink("f", "d")], [top(), file("f", "!")]])
    compare("a folder of a lower layer gets other attributes",
            [[top(), folder("d", pax=xattr("user.old", b"1")), file("d/a")],
             [top(), folder("d", mode=0o1777, uid=7, gid=8, mtime=1234567890.5)]])
    compare("entries below symbolic links",
            [[top(), folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr"),
              symlink("up", "../../usr/./lib")],
             [file("lib/a", "a"), file("abs/b", "b"), file("up/c", "c")]],
            loose=["usr", "usr/lib"])
    compare("paths with ..", [[top(), folder("d"), file("d/../e", "e"), file("../../../g", "g"), file("/abs", "h"),
                               link("i", "../../d/../e"), symlink("j", "../../../../etc/passwd")]])
    compare("owners and modes",
            [[top(mode=0o711, uid=3), file("suid", mode=0o6755), folder("sticky", mode=0o1777),
              file("owner", uid=1000, gid=100000), file("big", uid=4000000000, gid=3000000000),
              file("none", mode=0), symlink("s", "owner", uid=5, gid=6)]])
    compare("times", [[top(), file("ns", mtime=1600000000.123456789), file("before", mtime=-86400.0),
                       file("zero", mtime=0), file("late", mtime=4102444800), file("later", mtime=7000000000.25)]])
    compare("capabilities and attributes",
            [[top(), file("cap", "x", pax=xattr("security.capability", CAPABILITY)),
              file("many", pax={**xattr("user.one", b"1"), **xattr("user.two", b"2" * 500)}),
              folder("dir", pax=xattr("user.folder", "\u00e9".encode()))]])
    compare("access control lists", [[top(), file("acl", "x", mode=0o644, pax=xattr("system.posix_acl_access", ACL))]])
    compare("devices and pipes",
            [[top(), folder("dev"), entry("char", "dev/null", device=(1, 3), mode=0o666),
              entry("block", "dev/vda", device=(254, 0)), entry("char", "dev/big", device=(300, 70000)),
              entry("fifo", "dev/initctl", mode=0o600)]])
    compare("sparse files, pax", [sparse("posix")])
    against_source("sparse files, gnu", sparse("gnu"), "s")  # which umoci does not know
    compare("long names, pax", [long_names()])
    compare("long names, gnu", [tar(long_names(), tarfile.GNU_FORMAT)])
    compare("names that are not UTF-8",
            [tar([top(), file("caf\udce9", "latin"), symlink("l\udcff", "\udcfe"), file("utf-\u00e9", "u"),
                  link("h\udce8", "caf\udce9")], tarfile.GNU_FORMAT)])
    compare("forty layers",
            [[top(), folder("d"), file(f"d/f{i}", str(i)), file(f"same", str(i)),
              *([file(f"d/.wh.f{i - 3}")] if i % 4 == 3 else [])] for i in range(40)])
    compare("folders of thousands", [[top(), folder("many")] + [file(f"many/file-{i:05}", str(i)) for i in range(6000)]])


def attributes_of_tars():
    """What umoci does not take from a tar, and Linux has a place for."""
    rules = "user::rw-,user:801:r--,group::r--,mask::r--,other::r--"
    shutil.rmtree("img", ignore_errors=True)
    image("img", [[folder("d", pax={"SCHILY.acl.default": rules}),
                   file("a", pax={"SCHILY.acl.access": rules, "SCHILY.xattr.user.empty": "",
                                  "SCHILY.xattr.trusted.overlay.opaque": "y"})]])
    made("oci:img")
    with Mounted("out.ext4") as at:
        want = {"system.posix_acl_access": ACL.hex(), "user.empty": ""}
        got = describe(f"{at}/a")["xattrs"]
        report("an access control list in star's form", None if got == want else got)
        got = describe(f"{at}/d")["xattrs"]
        report("a default one of a folder", None if got == {"system.posix_acl_default": ACL.hex()} else got)
    bad("a list that names a user without a number",
        [[file("a", pax={"SCHILY.acl.access": "user::rw-,user:me:r--,group::r--,mask::r--,other::r--"})]],
        "without a number")


def going_on():
    """Linux goes on with a root that has free space: files, names in indexed folders, attributes."""
    shutil.rmtree("img", ignore_errors=True)
    image("img", [[folder("d"), folder("big")] + [file(f"big/file-{i:05}", str(i)) for i in range(5000)]])
    first = made("oci:img", "rw.ext4", 0, 0, 128 << 20)
    report("free space counts for the UUID", None if first["uuid"] != made("oci:img")["uuid"] else first)
    with Mounted("rw.ext4", "rw") as at:
        for i in range(6000):
            with open(f"{at}/big/more-{i}", "w") as f:
                f.write("x" * (i % 5000))
        for i in range(0, 5000, 3):
            os.unlink(f"{at}/big/file-{i:05}")
        with open(f"{at}/d/large", "wb") as f:
            f.write(os.urandom(20 << 20))
        os.setxattr(f"{at}/d/large", "user.many", b"v" * 2000)
        os.rename(f"{at}/big", f"{at}/d/big")
    judge("rw.ext4")
    with Mounted("rw.ext4") as at:
        names = set(os.listdir(f"{at}/d/big"))
        whole = len(names) == 6000 + 5000 - 1667 and open(f"{at}/d/big/file-04999").read() == "4999"
        report("a guest goes on writing in it", None if whole else len(names))


def frames(path):
    with open(path, "rb") as f:
        return [hashlib.sha256(block).digest() for block in iter(lambda: f.read(65536), b"")]


def next_version():
    """One of many small files grows: most frames stay what they were."""
    files = [file(f"d/f{i:04}", os.urandom(3000 + i % 7 * 1000)) for i in range(4000)]
    changed = list(files)
    changed[100] = file("d/f0100", os.urandom(30000))
    for name, entries in (("old", files), ("new", changed)):
        with open(f"{name}.tar", "wb") as f:
            f.write(tar([folder("d"), *entries]))
        made(f"tar:{name}.tar", f"{name}.ext4")
    old, new = frames("old.ext4"), frames("new.ext4")
    share = len(set(new) - set(old)) / len(new)
    report("the next version shares nine frames in ten", None if share <= 0.1 else f"{share:.3f} are new")


def without_padding():
    """Some programs leave out what pads the last block, and the end of the archive."""
    whole = tar([folder("d"), file("d/a", "a" * 700)])
    for name, layer in (("padded", whole), ("cut", whole[:512 * 2 + 700])):
        shutil.rmtree(name, ignore_errors=True)
        image(name, [layer])
        with open(f"{name}.tar", "wb") as f:
            f.write(layer)
        made(f"oci:{name}", f"{name}.ext4")
        with Mounted(f"{name}.ext4") as at, open(f"{at}/d/a") as f:
            report(f"the contents of a {name} tar", None if f.read() == "a" * 700 else "others")
        made(f"tar:{name}.tar", f"{name}.ext4")
    for left in (699, 1, 0):
        with open("short.tar", "wb") as f:
            f.write(whole[:512 * 2 + left])
        refused(f"contents of 700 bytes that end after {left}", "tar:short.tar", INTEGRITY, "runcated")
    with open("short.tar", "wb") as f:
        f.write(whole[:512 + 200])
    refused("a header that ends in the middle", "tar:short.tar", INTEGRITY, "cannot be read")


# --- sources ---

def sources():
    layers = [tar([top(), folder("d"), file("d/a", "hello" * 1000)]), tar([top(), file("d/b", "b")])]
    shutil.rmtree("img", ignore_errors=True)
    config = {"Cmd": ["sh", "-c", "x"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}}
    layout = image("img", layers, config=config)
    first = made("oci:img:t")
    want = hash_of("out.ext4")
    report("the config is told", None if first["config"]["config"]["Cmd"] == ["sh", "-c", "x"] else first)
    report("the digests of the layers are told", None if first["layers"] == [digest(x) for x in layers] else first)
    report("the digest of the manifest is told",
           None if first["manifest"] == layout.manifests[0]["digest"] else first)

    def same(name, source):
        try:
            made(source)
            report(name, None if hash_of("out.ext4") == want else "other bytes")
        except Exception as e:
            report(name, e)

    same("the same bytes again", "oci:img")
    for how in ("plain", "zstd"):
        shutil.rmtree(how, ignore_errors=True)
        image(how, layers, how=how, config=config)
        same(f"the same bytes from {how} layers", f"oci:{how}")
    subprocess.run(["tar", "-C", "img", "-cf", "img.tar", "."], check=True)
    same("the same bytes from an oci-archive", "oci-archive:img.tar:t")
    subprocess.run(["skopeo", "copy", "-q", "oci:img:t", "docker-archive:docker.tar:name:1"], check=True)
    same("the same bytes from a docker-archive", "docker-archive:docker.tar")
    same("by its name in a docker-archive", "docker-archive:docker.tar:docker.io/library/name:1")
    subprocess.run(["skopeo", "copy", "-q", "oci:img:t", "oci-archive:skopeo.tar:x"], check=True)
    same("the same bytes from skopeo's oci-archive", "oci-archive:skopeo.tar")

    multi = Layout("multi")
    other = multi.manifest([tar([file("arm")])], arch="arm64", config=config)
    own = multi.manifest(layers, config=config)
    inner = multi.blob(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        dict(other, platform={"os": "linux", "architecture": "arm64"}),
        dict(own, platform={"os": "linux", "architecture": "amd64"})]}).encode(), INDEX)
    multi.add(inner, "all")
    same("this architecture from an index in an index", "oci:multi:all")
    multi.add(own, "own", "amd64").add(other, "other", "arm64")
    same("by its tag", "oci:multi:own")
    refused("a tag that is not there", "oci:multi:nope", NOT_FOUND, "no image named nope")
    refused("another architecture", "oci:multi:other", INCOMPATIBLE, "amd64")
    multi.add(multi.manifest([tar([file("x")])]), "x", "amd64")
    refused("several images and no name", "oci:multi", USAGE, "name one")
    refused("a folder without a layout", "oci:.", INTEGRITY, "oci-layout")
    refused("a source that is not there", "tar:nothing.tar", NOT_FOUND, "No such file")

    with open("plain.tar", "wb") as f:
        f.write(tar([top(), file("a", "a", mode=0o640), symlink("l", "a")]))
    report("a bare tar", None if made("tar:plain.tar", "tar.ext4")["files"] == 3 else "other files")


def folders():
    shutil.rmtree("dir", ignore_errors=True)
    os.makedirs("dir/sub/deep")
    with open("dir/a", "w") as f:
        f.write("a")
    os.link("dir/a", "dir/sub/b")
    os.symlink("../a", "dir/sub/l")
    os.mkfifo("dir/pipe")
    os.mknod("dir/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr("dir/a", "user.x", b"1")
    os.setxattr("dir/a", "security.capability", CAPABILITY)
    os.chown("dir/a", 1000, 1001)
    with open("dir/sub/.wh.kept", "wb") as f:
        f.seek(1 << 20)
        f.write(b"end")
    made("dir")
    with Mounted("out.ext4") as at:
        report("a folder", difference(tree(at), tree("dir"), set()))
    once = hash_of("out.ext4")
    made("./dir")
    report("a folder gives the same bytes again", None if hash_of("out.ext4") == once else "other bytes")
    os.setxattr("dir/a", "user.x", b"2")
    uuid = made("dir")["uuid"]
    report("another attribute is another root", None if hash_of("out.ext4") != once else "the same")
    os.utime("dir/sub", ns=(0, 5))
    report("and another UUID", None if made("dir")["uuid"] != uuid else "the same")
    shutil.rmtree("dir")
    sys.setrecursionlimit(20000)
    deep = "/".join(["dir"] + ["d"] * 1500)
    for path in (deep, "dir/d/side/way", "dir/d/d/d/z"):
        os.makedirs(path)
    os.mkdir("dir/d/d/empty", 0o400)
    with open(deep + "/file", "w") as f:
        f.write("deep")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, before[1]))
    try:
        made("dir")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with Mounted("out.ext4") as at:
        report("1500 folders in one another, with 24 descriptors", difference(tree(at), tree("dir"), set()))


# --- hostile ones ---

def refused(name, source, kind, text, *limits):
    ran = make(source, "bad.ext4", *limits)
    if ran.returncode != 1:
        report(name, f"status {ran.returncode}: {ran.stdout}")
    elif not ran.stderr.rstrip().endswith(f"({kind})") or text not in ran.stderr:
        report(name, ran.stderr)
    else:
        report(name)


def bad(name, layers, text, *limits, **more):
    shutil.rmtree("bad", ignore_errors=True)
    image("bad", layers, **more)
    refused(name, "oci:bad", INTEGRITY, text, *limits)


def hostile_tars():
    bad("a name of 256 bytes", [[file("n" * 256)]], "256 bytes")
    bad("a path of 5000 bytes", [[file("/".join(["p" * 99] * 50))]], "a path of more than")
    bad("a file below a file", [[file("f"), file("f/x")]], "no folder")
    bad("a loop of links", [[symlink("a", "b"), symlink("b", "a"), file("a/x")]], "symbolic links")
    bad("a link to nothing", [[link("l", "/etc/passwd")]], "not there")
    bad("a link to a folder", [[folder("d"), link("l", "d")]], "folder")
    bad("a whiteout of ..", [[file(".wh...")]], "whiteout")
    bad("a whiteout of nothing", [[file(".wh.")]], "whiteout")
    bad("the root as a file", [[file("/..")]], "root")
    bad("an owner beyond 32 bits", [[file("f", pax={"uid": "99999999999"})]], "owner")
    bad("a device beyond ext4", [[entry("char", "c", device=(5000, 1))]], "device")
    bad("attributes of more than a block",
        [[file("f", pax={f"SCHILY.xattr.user.{i}": "v" * 2000 for i in range(3)})]], "4 KiB")
    bad("attributes without an end", [[file("f", pax={f"SCHILY.xattr.user.{i}": "v" for i in range(300)})]],
        "more than 256 attributes")
    bad("whiteouts without an end", [[file("f")], [file(f".wh.{i % 7}") for i in range(100)]], "more than 50 files", 0, 50)
    bad("opaque folders without an end", [[folder("d")], [file("d/.wh..wh..opq")] * 100], "more than 50 files", 0, 50)
    bad("a damaged access control list",
        [[file("f", pax={"SCHILY.xattr.system.posix_acl_access": "nonsense"})]], "access control list")
    long_way = [symlink(f"s{i}", "./" * 2000 + (f"s{i + 1}" if i < 30 else "d")) for i in range(31)]
    bad("links that are a long way", [[folder("d"), *long_way, file("s0/f")]], "more than 4096 folders")
    deep = [folder("/".join(["d"] * 2000)), symlink("s", "/".join(["d"] * 2000))]
    bad("folders without an end", [deep, [folder("s/" + "/".join(["d"] * 2000))]], "inside one another")
    bad("a tar that is cut", [tar([file("f", b"x" * 100000)])[:50000]], "layer 1")
    bad("no tar", [b"hello, world" * 1000], "cannot be read")


def hostile_blobs():
    good = tar([file("f", "x")])
    bad("another diff_id", [good], "unpacked layer", diff_ids=[digest(b"other")])
    bad("more diff_ids than layers", [good], "digests of", diff_ids=[digest(good)] * 2)
    bad("a diff_id that is none", [good], "SHA-256", diff_ids=["../../etc/passwd"])
    bad("plain bytes that are said to be gzip", [good], "packed otherwise", how="plain", media_type=LAYER + "+gzip")
    bad("a media type of no layer", [good], "holds no files", media_type="application/octet-stream")
    layout = image("bad", [good])
    layer = json.load(open(f"bad/blobs/sha256/{layout.manifests[0]['digest'][7:]}"))["layers"][0]
    path = f"bad/blobs/sha256/{layer['digest'][7:]}"
    packed = open(path, "rb").read()
    with open(path, "wb") as f:
        f.write(packed[:40] + b"Z" + packed[41:])
    refused("a damaged blob", "oci:bad", INTEGRITY, "layer 1")
    with open(path, "wb") as f:
        f.write(pack(tar([file("f", "y")]), "gzip").ljust(len(packed), b"\0")[:len(packed)])
    refused("another blob under that name", "oci:bad", INTEGRITY, "layer 1")
    with open(path, "wb") as f:
        f.write(packed + b"more")
    refused("a blob of another size", "oci:bad", INTEGRITY, "size")
    os.unlink(path)
    refused("a blob that is missing", "oci:bad", INTEGRITY, "missing")


def hostile_folders():
    """What names in a folder lead to is in that folder, and is a file."""
    good = tar([file("f", "x")])
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(good)]}})
    os.makedirs("docker/in", exist_ok=True)
    for path, data in (("layer.tar", good), ("docker/in/layer.tar", good), ("config.json", config.encode()),
                       ("docker/in/config.json", config.encode())):
        with open(path, "wb") as f:
            f.write(data)
    os.symlink("../layer.tar", "docker/link.tar")
    os.mkfifo("docker/pipe")

    def docker(config_path, layer):
        with open("docker/manifest.json", "w") as f:
            json.dump([{"Config": config_path, "RepoTags": [], "Layers": [layer]}], f)

    docker("in/config.json", "in/layer.tar")
    report("an unpacked docker-archive", None if made("docker-archive:docker")["files"] == 2 else "other files")
    for name, config_path, layer, text in (
            ("a layer above", "in/config.json", "../layer.tar", "not in the folder"),
            ("a layer above, below", "in/config.json", "in/../../layer.tar", "not in the folder"),
            ("a layer of the host", "in/config.json", os.path.abspath("layer.tar"), "not in the folder"),
            ("a config above", "../config.json", "in/layer.tar", "not in the folder"),
            ("a layer that is a link", "in/config.json", "link.tar", "symbolic link"),
            ("a layer that is a pipe", "in/config.json", "pipe", "not a file"),
            ("a layer that is a folder", "in/config.json", "in", "not a file"),
            ("a config that is a pipe", "pipe", "in/layer.tar", "not a file")):
        docker(config_path, layer)
        refused(name, "docker-archive:docker", INTEGRITY, text)
    layout = image("bad", [good])
    manifest = layout.manifests[0]["digest"][7:]
    layer = json.load(open(f"bad/blobs/sha256/{manifest}"))["layers"][0]["digest"][7:]
    for what, blob in (("layer", layer), ("manifest", manifest)):
        path = f"bad/blobs/sha256/{blob}"
        os.rename(path, "moved")
        os.mkfifo(path)
        refused(f"a pipe as {what}", "oci:bad", INTEGRITY, "not a file")
        os.unlink(path)
        os.symlink(os.path.abspath("moved"), path)
        refused(f"a link as {what}", "oci:bad", INTEGRITY, "symbolic link")
        os.unlink(path)
        os.rename("moved", path)
    made("oci:bad")


def deep_folders():
    """As deep as a path can be, with more descriptors than a service has by default."""
    top_fd = os.getcwd()
    os.makedirs("deep", exist_ok=True)
    os.chdir("deep")
    for i in range(2040):
        os.mkdir("d")
        os.chdir("d")
    os.setxattr(".", "user.x", b"1" * 1000)
    os.symlink("t" * 4000, "l")
    os.chdir(top_fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 8192:
        print("skip - folders as deep as a path # too few descriptors")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, before[1]))
    report("folders as deep as a path", None if made("deep")["files"] == 2042 else "other files")
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    subprocess.run(["rm", "-rf", "deep"], check=True)


def repeated(path, head, block, count, tail=b""):
    """A gzip file of a block many times over, which is never in memory."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with open(path, "wb") as f:
        f.write(packer.compress(head))
        for _ in range(count):
            f.write(packer.compress(block))
        f.write(packer.compress(tail) + packer.flush())


def bombs():
    header = tar([file("f")])[:512]
    repeated("many.tgz", b"", header * 1024, 1030)
    refused("a million entries and more", "tar:many.tgz", INTEGRITY, "more than 1048576 files")
    refused("more entries than asked for", "tar:many.tgz", INTEGRITY, "more than 1000 files", 0, 1000)
    info, _ = file("zeros")
    info.size = 40 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    repeated("bomb.tgz", head, bytes(1 << 20), 300)
    refused("a file larger than allowed", "tar:bomb.tgz", INTEGRITY, "more than 64 MiB", 64 << 20)
    repeated("tail.tgz", tar([file("f")]), bytes(1 << 20), 300)
    refused("endless zeros behind the end", "tar:tail.tgz", INTEGRITY, "unpack to more", 64 << 20)
    size = os.stat("bad.ext4").st_blocks * 512
    report("a bomb takes no space", None if size < 1 << 20 else f"{size} bytes")


def host_is_left_alone():
    os.makedirs("victim", exist_ok=True)
    with open("victim/file", "w") as f:
        f.write("mine")
    victim = os.path.abspath("victim")
    shutil.rmtree("img", ignore_errors=True)
    image("img", [[symlink("esc", victim), symlink("up", "../" * 30 + victim[1:])],
                  [file("esc/file", "stolen"), file("up/other", "new"), file("../" * 30 + victim[1:] + "/third"),
                   link("theirs", victim + "/third"), file("esc/.wh.file")]])
    made("oci:img")
    left = os.listdir("victim") == ["file"] and open("victim/file").read() == "mine"
    report("links and .. do not reach the host", None if left else os.listdir("victim"))


def main():
    if os.geteuid() != 0:
        print("skip - roots of images # not root: umoci and mount cannot be used")
        return 0
    for tool in ("umoci", "skopeo", "zstd"):
        if shutil.which(tool) is None:
            print(f"skip - roots of images # {tool} is not installed")
            return 0
    with tempfile.TemporaryDirectory(prefix="tc.", dir="/tmp") as work:
        os.chdir(work)
        for part in (trees, attributes_of_tars, next_version, without_padding, going_on, sources, folders, hostile_tars, hostile_blobs,
                     hostile_folders, deep_folders, bombs, host_is_left_alone):
            try:
                part()
            except Exception:
                report(part.__name__, traceback.format_exc())
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
