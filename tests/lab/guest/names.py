#!/usr/bin/env python3
"""What POSIX says of names, modes and sizes, in the folder that is named: names.py FOLDER. A line for what is not so,
then NAMES and how many were right."""

import errno
import os
import socket
import stat
import sys

right = 0


def says(what, holds):
    global right
    right += bool(holds)
    if not holds:
        print(f"WRONG {what}", flush=True)


def fails(what, number, call, *args, **options):
    try:
        call(*args, **options)
    except OSError as error:
        says(f"{what}: {errno.errorcode.get(error.errno)}", error.errno == number)
    else:
        says(f"{what}: no error", False)


def touch(path, text=""):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def content(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def making():
    os.mkdir("d", 0o751)
    says("the mode of a folder", stat.S_IMODE(os.stat("d").st_mode) == 0o751)
    fails("mkdir of what is there", errno.EEXIST, os.mkdir, "d")
    os.close(os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
    says("the mode of a file", stat.S_IMODE(os.stat("f").st_mode) == 0o640)
    fails("O_EXCL of what is there", errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails("a file is no folder", errno.ENOTDIR, os.open, "f/x", os.O_RDONLY)
    fails("a folder is not written", errno.EISDIR, os.open, "d", os.O_WRONLY)
    fails("a name that is too long", errno.ENAMETOOLONG, os.mkdir, "n" * 256)
    os.mkdir("n" * 255)
    os.rmdir("n" * 255)
    os.mkfifo("pipe", 0o600)
    says("a pipe is one", stat.S_ISFIFO(os.stat("pipe").st_mode))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    says("a socket is one", stat.S_ISSOCK(os.stat("socket").st_mode))
    fails("no devices", errno.EPERM, os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for name in ("pipe", "socket"):
        os.unlink(name)


def linking():
    touch("f", "one")
    os.link("f", "g")
    says("two names", os.stat("f").st_nlink == 2 and os.stat("g").st_ino == os.stat("f").st_ino)
    os.unlink("f")
    says("one of them is left", os.stat("g").st_nlink == 1 and content("g") == "one")
    fails("no second name of a folder", errno.EPERM, os.link, "d", "d2")
    os.symlink("../" * 5 + "etc/passwd", "s")
    says("a link is text", os.readlink("s") == "../" * 5 + "etc/passwd" and stat.S_ISLNK(os.lstat("s").st_mode))
    os.symlink("loop", "loop")
    fails("a loop", errno.ELOOP, os.stat, "loop")
    for name in ("g", "s", "loop"):
        os.unlink(name)


def moving():
    touch("a", "a")
    touch("b", "b")
    os.rename("a", "b")
    says("what was there is replaced", content("b") == "a" and not os.path.exists("a"))
    os.mkdir("d/e")
    touch("d/e/f", "deep")
    os.rename("d/e", "e")
    says("a folder is moved with what it holds", content("e/f") == "deep")
    fails("a folder not below itself", errno.EINVAL, os.rename, "e", "e/x")
    fails("a folder not over a full one", errno.ENOTEMPTY, os.rename, "d", "e")
    fails("a full folder stays", errno.ENOTEMPTY, os.rmdir, "e")
    fails("a folder is not unlinked", errno.EISDIR, os.unlink, "d")
    os.unlink("e/f")
    os.rmdir("e")
    os.unlink("b")


def unnamed():
    fd = os.open("t", os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink("t")
    os.write(fd, b"text")
    says("an open file without a name is there", os.pread(fd, 10, 0) == b"text" and os.fstat(fd).st_nlink == 0)
    os.close(fd)
    fails("and then gone", errno.ENOENT, os.stat, "t")


def attributes():
    touch("f", "0123456789")
    os.truncate("f", 4)
    says("shorter", content("f") == "0123")
    os.truncate("f", 8)
    says("longer, with zeros", content("f") == "0123\0\0\0\0")
    os.utime("f", ns=(1_000_000_123, 2_000_000_456))
    says("times, to the nanosecond", (os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns)
         == (1_000_000_123, 2_000_000_456))
    os.chmod("f", 0o000)
    says("no mode at all", stat.S_IMODE(os.stat("f").st_mode) == 0)
    says("root reads it all the same", content("f").startswith("0123"))
    os.chmod("f", 0o4755)
    says("no bit that changes the user", stat.S_IMODE(os.stat("f").st_mode) == 0o755)
    os.chown("f", 0, 0)
    fails("no other owner", errno.EPERM, os.chown, "f", 33, 33)
    fd = os.open("f", os.O_RDWR)
    os.posix_fallocate(fd, 0, 100000)
    says("room is made", os.fstat(fd).st_size == 100000)
    os.close(fd)
    os.unlink("f")
    said = os.statvfs(".")
    says("the file system is described", said.f_blocks > 0 and said.f_namemax == 255)


def listing():
    names = {f"file-{i:04}" for i in range(500)}
    os.mkdir("many")
    for name in names:
        touch(f"many/{name}")
    says("each once", sorted(os.listdir("many")) == sorted(names))
    with os.scandir("many") as entries:
        for entry in entries:
            os.unlink(entry.path)
    says("emptied while it is read", os.listdir("many") == [])
    os.rmdir("many")


def main():
    os.umask(0)
    os.mkdir(sys.argv[1])
    os.chdir(sys.argv[1])
    for part in (making, linking, moving, unnamed, attributes, listing):
        part()
    print(f"NAMES {right}", flush=True)


if __name__ == "__main__":
    main()
