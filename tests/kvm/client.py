#!/usr/bin/env python3
"""examples/torpor.py against machines with the tiny kernel, and its exec against a machine that is none, because the tiny kernel has
no agent: client.py FOLDER KERNEL. Prints `ok`."""
import json
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, sys.argv[1])
from torpor import Machine, Refused


def refused(what, call):
    try:
        call()
    except (Refused, OSError) as e:
        assert what in str(e), e
        return
    raise AssertionError(f"done: {what}")


def machines():
    m = Machine.run("--name", "web", "--kernel", sys.argv[2], "-m", "64M")
    s = m.status()
    assert s["state"] == "running" and s["name"] == "web" and s["memory"] == 64 << 20, s
    m.ask("pause")
    assert m.status()["state"] == "paused"
    m.ask("unpause")
    refused("agent", lambda: m.exec("true"))
    answer = m.save("running.torpor", leave_running=True)
    assert answer["bytes"] == os.path.getsize("running.torpor") and m.status()["state"] == "running"
    clones = m.clone(2)
    assert len(clones) == 2 and all(c.status()["state"] == "running" for c in clones)
    refused("nowhere", lambda: m.save("/nowhere/x.torpor"))
    refused("unknown request", lambda: m.ask("nonsense"))
    m.save("web.torpor")
    assert not [f for f in os.listdir(".") if f.startswith("tmp")]
    m.stream.read()  # until it has ended
    with Machine.resume("web.torpor") as again:
        assert again.status()["state"] == "running"
        again.ask("kill")
    for c in clones:
        c.ask("kill")


def serve(listener):
    """What guest/exec_frame.h says of the machine's side, of one command: it answers its arguments."""
    s, _ = listener.accept()  # the client's own connection
    s, _ = listener.accept()
    stream = s.makefile("rb")
    assert json.loads(stream.readline()) == {"do": "exec"}
    s.sendall(b'{"ok":true}\n')
    length, session, kind = struct.unpack("<III", stream.read(12))
    args = stream.read(length)
    assert (session, kind) == (0, 1) and struct.unpack("<IHHII", args[:16]) == (0, 0, 0, 2, 0)
    assert stream.read(12) == struct.pack("<III", 0, 0, 2)
    for kind, data in (17, b""), (9, args[16:]), (10, b"!"), (11, struct.pack("<BI", 0, 3)):
        s.sendall(struct.pack("<III", len(data), 0, kind) + data)


def commands():
    folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "torpor", "none")
    os.makedirs(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "control"))
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        with Machine("none") as m:
            assert m.exec("echo", "hi") == (3, b"/\0\0echo\0hi\0!")
        server.join()
    os.unlink(os.path.join(folder, "control"))
    os.rmdir(folder)


machines()
commands()
print("ok")
