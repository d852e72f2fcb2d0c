#!/usr/bin/env python3
"""Does to a file what a model in memory says and compares: fsx.py FILE OPERATIONS SEED. OPERATIONS is a number, or the
name of a file: then it goes on until that file is there. The file stays open all along, beside a second handle that
comes and goes. One line in a hundred tells how far it is; the last is FSX ok, or FSX bad and what differed."""

import itertools
import mmap
import os
import random
import sys

LARGEST = 256 << 10


def differ(model, got, at):
    """The first byte that is not what the model has."""
    for i, (want, is_there) in enumerate(zip(model, got)):
        if want != is_there:
            return f"at {at + i}: {is_there} and not {want}"
    return f"at {at}: {len(got)} bytes and not {len(model)}"


class File:
    def __init__(self, path, seed):
        self.path = path
        self.draw = random.Random(seed)
        self.model = bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def span(self, most):
        at = self.draw.randrange(most + 1)
        return at, self.draw.randrange(1, 1 + min(64 << 10, LARGEST - at)) if at < LARGEST else 0

    def grow(self, size):
        self.model.extend(bytes(max(0, size - len(self.model))))

    def write(self, fd):
        at, length = self.span(LARGEST)
        data = self.draw.randbytes(length)
        assert os.pwrite(fd, data, at) == length
        self.grow(at + length if length else 0)
        self.model[at:at + length] = data

    def read(self, fd):
        at, length = self.span(len(self.model))
        got = os.pread(fd, length, at)
        want = self.model[at:at + length]
        return None if got == want else differ(want, got, at)

    def truncate(self, fd):
        size = self.draw.randrange(LARGEST)
        os.ftruncate(fd, size)
        del self.model[size:]
        self.grow(size)

    def mapped(self, fd):
        if not self.model:
            return None
        at = self.draw.randrange(len(self.model))
        data = self.draw.randbytes(min(5000, len(self.model) - at))
        with mmap.mmap(fd, len(self.model)) as memory:
            memory[at:at + len(data)] = data
            memory.flush()
        self.model[at:at + len(data)] = data
        return None

    def again(self, fd):
        """Through a handle of its own."""
        other = os.open(self.path, os.O_RDWR | os.O_APPEND * self.draw.randrange(2))
        wrong = self.read(other)
        os.close(other)
        return wrong or (None if os.fstat(fd).st_size == len(self.model) else f"size {os.fstat(fd).st_size}")

    def sync(self, fd):
        os.fsync(fd)

    def move(self, _fd):
        other = self.path + ".moved"
        os.rename(self.path, other)
        os.rename(other, self.path)

    def step(self):
        does = self.draw.choices((self.write, self.read, self.truncate, self.mapped, self.again, self.sync, self.move),
                                 (30, 40, 8, 8, 10, 2, 2))[0]
        return does(self.fd), does.__name__


def operations(wanted):
    """Their numbers."""
    if wanted.isdigit():
        return range(int(wanted))
    return itertools.takewhile(lambda i: i % 10 != 0 or not os.path.exists(wanted), itertools.count())


def main():
    path, seed = sys.argv[1], int(sys.argv[3])
    file = File(path, seed)
    for i in operations(sys.argv[2]):
        wrong, what = file.step()
        if wrong:
            print(f"FSX bad: operation {i}, {what}: {wrong}", flush=True)
            return 1
        if i % 100 == 0:
            print(f"FSX {i}", flush=True)
    with open(path, "rb") as whole:
        if whole.read() != file.model:
            print("FSX bad: in the end", flush=True)
            return 1
    print("FSX ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
