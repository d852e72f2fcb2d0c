#!/usr/bin/env python3
"""A file system with one file, `disk`, that does what it is told: fuse_file.py FOLDER FILE COMMANDS

It is mounted over FOLDER; what is read and written is in FILE. Commands come through the FIFO, a line each:

    stop     reads, writes and flushes get no answer
    go       they get one, those that wait as well
    error N  they fail with that number; `error 0` ends it
    end      it is unmounted; so it is when the last writer of the FIFO has closed it

It prints `mounted`, a line for each command that has been done, and `held` for a request that gets no answer. Needs the right to mount.
"""
import ctypes
import os
import select
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 1, 2, 3, 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 38, 42
ENOENT, ENOSYS = 2, 38
DIRECT_IO = 1  # nothing of it is in the page cache
libc = ctypes.CDLL(None, use_errno=True)


class Server:
    def __init__(self, folder, backing):
        self.file = os.open(backing, os.O_RDWR)
        self.fuse = os.open("/dev/fuse", os.O_RDWR)
        self.folder = folder
        self.stopped = False
        self.error = 0
        self.waiting = []
        options = f"fd={self.fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
        if libc.mount(b"disk", folder.encode(), b"fuse", 0, options.encode()) != 0:
            sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")

    def attributes(self, node):
        directory = node == 1
        size = 0 if directory else os.fstat(self.file).st_size
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, 0o40755 if directory else 0o100644, 1,
                           os.getuid(), os.getgid(), 0, 4096, 0)

    def answer(self, unique, data=b"", error=0):
        try:
            os.write(self.fuse, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except FileNotFoundError:
            pass  # whoever asked is gone

    def transfer(self, opcode, unique, body):
        if self.error:
            self.answer(unique, error=self.error)
        elif opcode == FSYNC:
            self.answer(unique)
        else:
            _, at, size = struct.unpack_from("<QQI", body)
            if opcode == READ:
                self.answer(unique, os.pread(self.file, size, at))
            else:
                self.answer(unique, struct.pack("<II", os.pwrite(self.file, body[40:40 + size], at), 0))

    def serve(self):
        request = os.read(self.fuse, 1 << 21)
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        body = request[40:]
        if opcode in (READ, WRITE, FSYNC):
            if self.stopped:
                self.waiting.append((opcode, unique, body))
                print("held", flush=True)
            else:
                self.transfer(opcode, unique, body)
        elif opcode == INIT:
            self.answer(unique, struct.pack("<4I2H2I2H8I", 7, 31, 1 << 17, 0, 64, 48, 1 << 17, 1, 32, 0, *[0] * 8))
        elif opcode == LOOKUP and body == b"disk\0":
            self.answer(unique, struct.pack("<4Q2I", 2, 0, 60, 60, 0, 0) + self.attributes(2))
        elif opcode == LOOKUP:
            self.answer(unique, error=ENOENT)
        elif opcode == GETATTR:
            self.answer(unique, struct.pack("<QII", 60, 0, 0) + self.attributes(node))
        elif opcode in (OPEN, OPENDIR):
            self.answer(unique, struct.pack("<QII", 0, DIRECT_IO if opcode == OPEN else 0, 0))
        elif opcode == STATFS:
            self.answer(unique, struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6))
        elif opcode in (READDIR, RELEASE, FLUSH, RELEASEDIR, DESTROY):
            self.answer(unique)
        elif opcode not in (FORGET, BATCH_FORGET, INTERRUPT):
            self.answer(unique, error=ENOSYS)

    def obey(self, line):
        words = line.split()
        if words[0] == "error":
            self.error = int(words[1])
        self.stopped = words[0] == "stop"
        while not self.stopped and self.waiting:
            self.transfer(*self.waiting.pop(0))
        return words[0] != "end"

    def run(self, commands):
        pending = b""
        while True:
            ready = select.select([self.fuse, commands], [], [])[0]
            if self.fuse in ready:
                try:
                    self.serve()
                except OSError:
                    return  # unmounted by somebody else
            if commands in ready:
                got = os.read(commands, 4096)
                if not got:
                    return
                *lines, pending = (pending + got).split(b"\n")
                for line in lines:
                    if not self.obey(line.decode()):
                        return
                    print(line.decode(), flush=True)


def main():
    folder, backing, fifo = sys.argv[1:]
    server = Server(folder, backing)
    print("mounted", flush=True)
    try:
        server.run(os.open(fifo, os.O_RDONLY))
    finally:
        libc.umount2(folder.encode(), 2)  # MNT_DETACH


main()
