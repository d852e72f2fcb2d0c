#!/usr/bin/env python3
"""parent.py KIND COMMAND…: be such a parent of the command as users and tools are, and become it."""
import os
import resource
import signal
import sys

FILE_SIZE = 128 << 10  # more than the tiny kernel has, whose copy is kept, and less than a save


def close(*descriptors):
    for fd in descriptors:
        os.close(fd)


def inherit():
    """What flock(1), bats and `{ …; } 3>&1 | cat` leave open: here a pipe whose reader waits for its end."""
    fd = os.open("inherited", os.O_WRONLY)
    for number in (3, 9, 200):
        os.dup2(fd, number)
        os.set_inheritable(number, True)


def limit_files(hard):
    size = (FILE_SIZE, FILE_SIZE if hard else resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, size)


def signals():
    return set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}


def ignore_signals():
    for number in signals():
        signal.signal(number, signal.SIG_IGN)


def go_deep():
    """A working directory whose path is longer than 511 bytes."""
    for _ in range(4):
        os.makedirs("d" * 200, exist_ok=True)
        os.chdir("d" * 200)


KINDS = {
    "clean": lambda: None,
    "closed-0": lambda: close(0),
    "closed-1": lambda: close(1),
    "closed-2": lambda: close(2),
    "closed-all": lambda: close(0, 1, 2),
    "inherited": inherit,
    "small-files": lambda: limit_files(False),
    "small-files-for-good": lambda: limit_files(True),
    "signals-ignored": ignore_signals,
    "signals-blocked": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals()),
    "umask-0777": lambda: os.umask(0o777),
    "umask-0": lambda: os.umask(0),
    "deep": go_deep,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    os.execv(sys.argv[2], sys.argv[2:])
