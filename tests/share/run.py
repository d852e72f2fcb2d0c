#!/usr/bin/env python3
"""Shared folders under real programs, across saves: the server behind this kernel's FUSE driver (mounted.c) in the place of
a guest's. `ok - `, `not ok - ` and `skip - ` lines; as root, for mount(2). OPERATIONS: of fsx."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
MOUNTED = os.path.join(os.path.abspath(os.environ.get("BUILD", "build")), "tests/share/mounted")
GUEST = os.path.join(REPOSITORY, "tests/lab/guest")
OPERATIONS = int(os.environ.get("OPERATIONS", "20000"))
NAMES = 34  # claims of names.py
PATIENCE = 1800
failures = 0


def report(name, problem=None):
    global failures
    failures += problem is not None
    print(f"{'ok' if problem is None else 'not ok'} - {name}", flush=True)
    for line in str(problem).splitlines()[:20] if problem is not None else ():
        print(f"    {line}")


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


class Folder:
    """A folder, and where a guest has it."""

    def __init__(self, home, *options):
        self.host, self.at = f"{home}/host", f"{home}/guest"
        os.makedirs(self.host, exist_ok=True)
        os.makedirs(self.at, exist_ok=True)
        self.process = subprocess.Popen([MOUNTED, self.host, self.at, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.line("mounted")

    def line(self, wanted):
        """What it says up to that line."""
        said = []
        while not (line := self.process.stdout.readline()).startswith(wanted):
            expect(line, f"it has ended; {said}")
            said.append(line)
        return "".join(said) + line

    def wake(self, folder=""):
        self.process.stdin.write(f"wake {folder}".strip() + "\n")
        self.process.stdin.flush()
        return self.line("woken")

    def end(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        subprocess.run(["umount", "-l", self.at], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def folder(*options):
    home = tempfile.mkdtemp(prefix="torpor-folder.")
    made = Folder(home, *options)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home, ignore_errors=True)


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False, **options)
    expect(done.returncode == 0, f"{argv}: {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def names():
    with folder() as f:
        said = run("python3", f"{GUEST}/names.py", f"{f.at}/names")
        expect(said == f"NAMES {NAMES}\n", said)


def lines_of(process):
    for line in process.stdout:
        yield line.rstrip("\n")


def fsx():
    """It is saved and woken five times while it is at work."""
    with folder() as f:
        work = subprocess.Popen(["python3", f"{GUEST}/fsx.py", f"{f.at}/fsx", str(OPERATIONS), "4711"],
                                stdout=subprocess.PIPE, text=True)
        saves, last = 0, ""
        for last in lines_of(work):
            done = last.removeprefix("FSX ")
            if done.isdigit() and saves < 5 and int(done) >= OPERATIONS * (saves + 1) // 7:
                f.wake()
                saves += 1
        expect(work.wait(PATIENCE) == 0 and last == "FSX ok" and saves == 5, f"{last} after {saves} saves")


def tree():
    """A clone of this repository, and a program built there, with saves in between."""
    with folder() as f:
        clone = subprocess.Popen(["git", "clone", "-q", "--no-hardlinks", REPOSITORY, f"{f.at}/clone"],
                                 stderr=subprocess.PIPE, text=True, env=dict(os.environ, GIT_CONFIG_COUNT="1",
                                 GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*"))
        saves = 0
        while clone.poll() is None:
            time.sleep(random.uniform(0.01, 0.3))
            f.wake()
            saves += 1
        expect(clone.returncode == 0, clone.stderr.read())
        run("git", "-C", f"{f.at}/clone", "-c", "safe.directory=*", "fsck", "--connectivity-only")
        expect(run("git", "-C", f"{f.at}/clone", "-c", "safe.directory=*", "status", "--porcelain") == "", "it has changed")
        make = subprocess.Popen(["make", "-s", "build/images/tiny.elf"], cwd=f"{f.at}/clone", stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, env={k: v for k, v in os.environ.items() if k != "BUILD"})
        while make.poll() is None:
            time.sleep(0.5)
            f.wake()
            saves += 1
        expect(make.returncode == 0, make.stderr.read()[-2000:])
        here, there = (run("git", "-C", where, "-c", "safe.directory=*", "rev-parse", "HEAD^{tree}")
                       for where in (REPOSITORY, f"{f.host}/clone"))
        expect(here == there, "another tree")
        expect(saves >= 2 and os.path.getsize(f"{f.host}/clone/build/images/tiny.elf") > 10000, f"{saves} saves")


def gone():
    """What the host takes away while nobody is awake."""
    with folder() as f:
        for name in ("kept", "gone", "replaced", "unnamed"):
            with open(f"{f.host}/{name}", "w", encoding="ascii") as file:
                file.write(name)
        # pylint: disable=consider-using-with
        opened = {name: open(f"{f.at}/{name}", "r+b", buffering=0) for name in ("kept", "gone", "replaced", "unnamed")}
        os.unlink(f"{f.at}/unnamed")
        expect(opened["unnamed"].read() == b"unnamed", "open without a name")
        os.unlink(f"{f.host}/gone")
        os.rename(f"{f.host}/kept", f"{f.host}/moved")
        with open(f"{f.host}/new", "w", encoding="ascii") as file:
            file.write("new")
        os.rename(f"{f.host}/new", f"{f.host}/replaced")
        said = f.wake()
        expect("gone (deleted) is gone" not in said and "unnamed" in said, said)
        expect(opened["kept"].read() == b"kept", "it was moved while it was awake, and is there")
        time.sleep(1.1)
        for name in ("gone", "unnamed"):
            try:
                opened[name].seek(0)
                expect(not opened[name].read(), f"{name} can be read")
            except OSError as error:
                expect(error.errno == 116, f"{name}: {error}")
        with open(f"{f.at}/replaced", encoding="ascii") as file:
            expect(file.read() == "new", "what is there now")
        for file in opened.values():
            with contextlib.suppress(OSError):
                file.close()


def copied():
    """Bound to a copy, as on another host."""
    with folder() as f:
        os.makedirs(f"{f.at}/a/b")
        with open(f"{f.at}/a/b/file", "w+", encoding="ascii") as file:
            file.write("first\n")
            file.flush()
            run("cp", "-a", f.host, f"{f.host}.copy")
            f.wake(f"{f.host}.copy")
            file.write("second\n")
            file.flush()
        with open(f"{f.host}.copy/a/b/file", encoding="ascii") as copy:
            expect(copy.read() == "first\nsecond\n", "it goes on in the copy")
        with open(f"{f.host}/a/b/file", encoding="ascii") as old:
            expect(old.read() == "first\n", "and not where it was")
        expect(os.listdir(f"{f.at}/a") == ["b"], "its folders")


def readonly():
    with folder() as writer:
        os.makedirs(f"{writer.host}/d")
        with folder("ro") as f:
            for call in (lambda: os.mkdir(f"{f.at}/x"), lambda: os.open(f"{f.at}/y", os.O_CREAT | os.O_RDWR)):
                try:
                    call()
                    expect(False, "it was written to")
                except OSError as error:
                    expect(error.errno == 30, str(error))
            f.wake()
            expect(os.listdir(f.at) == [], "it can be read")


def main():
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("skip - share # mount(2) takes root and /dev/fuse")
        return 0
    for test, name in ((names, "names, modes and sizes are what POSIX says"),
                       (fsx, f"fsx: {OPERATIONS} operations across five saves are what a model says"),
                       (tree, "git clone of this repository, and a program built there, saved all along"),
                       (gone, "what the host takes away is stale or gone, and nothing hangs"),
                       (copied, "bound to a copy it goes on there"),
                       (readonly, "only read")):
        try:
            test()
            report(name)
        except Exception:  # pylint: disable=broad-exception-caught
            report(name, traceback.format_exc())
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
