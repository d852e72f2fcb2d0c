#!/usr/bin/env python3
"""A small client of torpor's control protocol (host/protocol.h): run, exec, save, resume, clone.

    with Machine.run("--kernel", "vmlinuz", "-m", "64M") as m:
        print(m.status()["state"])
        m.save("/tmp/web.torpor")
    Machine.resume("/tmp/web.torpor").clone()[0].ask("kill")

Machines are started by the program, which prints their names; everything else goes over the socket
`control` in a machine's runtime folder: a JSON object a line, answered in order.
"""
import array
import contextlib
import json
import os
import socket
import struct
import subprocess
import tempfile

TORPOR = os.environ.get("TORPOR", "torpor")
ARGS, START, EXIT, OUTPUT, OUTPUT_ERR, CREDIT, ERROR = 1, 2, 11, 9, 10, 8, 12  # guest/exec_frame.h


class Refused(Exception):
    """What a machine, or the program, answered instead."""


def start(*words):
    done = subprocess.run([TORPOR, *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return [Machine(name) for name in done.stdout.split()]


class Machine:
    def __init__(self, name):
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        if runtime is None:
            runtime = "/run" if os.getuid() == 0 else f"/run/user/{os.getuid()}"
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(f"{runtime}/torpor/{name}/control")
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @classmethod
    def run(cls, *options):
        return start("run", "-d", *options)[0]

    @classmethod
    def resume(cls, path, *options):
        return start("resume", "-d", *options, path)[0]

    def clone(self, count=1):
        return start("clone", "--count", str(count), self.name)

    def ask(self, what, fd=None, **request):
        """One request, with a descriptor if it takes one, and its answer."""
        line = json.dumps({"do": what, **request}).encode() + b"\n"
        passed = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        sent = self.socket.sendmsg([line], passed)
        self.socket.sendall(line[sent:])
        answer = json.loads(self.stream.readline() or b'{"error": "it has ended"}')
        if not answer.get("ok"):
            raise Refused(answer["error"])
        return answer

    def status(self):
        return self.ask("status")

    def save(self, path, leave_running=False):
        """The machine writes into a file without a name; that gets it when all is there."""
        path = os.path.abspath(path)
        fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
        try:
            answer = self.ask("save", fd, path=path, full=True, **{"leave-running": leave_running})
            os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        self.ask("published", done=True)
        return answer

    def exec(self, *command):
        """A command in the guest: its exit status and output. The connection is its own from then on."""
        with Machine(self.name) as m:
            m.ask("exec")
            texts = ["/", "", *command]  # folder, user, arguments; no variables
            args = struct.pack("<IHHII", 0, 0, 0, len(command), 0) + b"".join(t.encode() + b"\0" for t in texts)
            for kind, data in (ARGS, args), (START, b""):
                m.socket.sendall(struct.pack("<III", len(data), 0, kind) + data)
            output = b""
            while True:
                length, _, kind = struct.unpack("<III", m.stream.read(12))
                data = m.stream.read(length)
                if kind in (OUTPUT, OUTPUT_ERR):
                    output += data
                    with contextlib.suppress(BrokenPipeError):  # it has ended already
                        m.socket.sendall(struct.pack("<IIII", 4, 0, CREDIT, len(data)))
                elif kind == EXIT:
                    return struct.unpack("<BI", data)[1], output
                elif kind == ERROR:
                    raise Refused(data.decode(errors="replace"))
