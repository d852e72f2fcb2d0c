#!/usr/bin/env python3
"""One side of a move (move/move_stream.h) that behaves in a chosen way.

    move_peer.py target HOW          to be run by torpor move
    move_peer.py source HOW FILE -- torpor receive ...
                                     FILE is the appliance that is sent; prints what the target says
"""
import struct
import subprocess
import sys

DATA, END, READY, GO, RUNNING, FAILED = range(1, 7)


def send(out, kind, body=b""):
    out.write(struct.pack("<II", kind, len(body)) + body)
    out.flush()


def receive(stream):
    head = stream.read(8)
    if len(head) < 8:
        return None, b""
    kind, length = struct.unpack("<II", head)
    return kind, stream.read(length)


def wait():
    """For a line that the test writes. Whoever wrote the one before may not have closed yet."""
    line = ""
    while not line:
        with open("go") as go:
            line = go.readline()


def target(how):
    inp, out = sys.stdin.buffer, sys.stdout.buffer
    if how == "endless":
        while True:
            out.write(b"Welcome to this host\n")
    if how == "version":
        out.write(b"torpor receive 0\n")
        out.flush()
        inp.read()
        return
    out.write(b"Last login: never\ntorpor receive 1\n")
    out.flush()
    if how == "after-hello":
        return
    assert inp.readline() == b"torpor move 1\n"
    if how == "early-running":
        send(out, RUNNING, b"liar")
    if how == "slow":
        wait()
    seen = 0
    while True:
        kind, body = receive(inp)
        seen += len(body)
        if kind in (END, None) or how == "in-data" and seen > 0:
            break
    if how in ("in-data", "after-data"):
        return
    if how == "garbage":
        out.write(b"\xff" * 64)
        out.flush()
        return
    if how == "long-text":
        out.write(struct.pack("<II", FAILED, 1 << 30))
        out.flush()
        return
    if how == "refused":
        send(out, FAILED, b"no \x1b[31mroom")
        return
    if how == "slow":
        wait()
    send(out, READY)
    if how == "after-ready":
        sys.stdin.close()
        return
    kind, body = receive(inp)
    assert kind == GO, kind
    if how == "go-wait":
        with open("committed", "w"):
            inp.read()
    if how == "go-failed":
        send(out, FAILED, b"it broke")
    elif how in ("go-running", "slow"):
        if how == "slow":
            wait()
        send(out, RUNNING, b"elsewhere")
    # else: gone behind GO, without a word


def source(how, file, command):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, inp = child.stdin, child.stdout
    contents = b""
    if how != "silent":
        with open(file, "rb") as f:
            contents = f.read()
    assert inp.readline() == b"torpor receive 1\n"
    out.write(b"torpor move 1\n")
    out.flush()
    if how == "go-first":
        send(out, GO)
    elif how != "silent":
        if how == "slow":
            wait()
        if how == "damaged":
            middle = len(contents) // 2
            contents = contents[:middle] + bytes([contents[middle] ^ 1]) + contents[middle + 1:]
        half = len(contents) // 2 if how in ("half", "half-end") else len(contents)
        for at in range(0, half, 1 << 16):
            send(out, DATA, contents[at:min(at + (1 << 16), half)])
        if how != "half":
            send(out, END)
    if how in ("half", "half-end", "damaged", "go-first"):
        out.close()
    else:
        kind, body = receive(inp)
        print({READY: "ready", FAILED: "failed"}.get(kind, kind), body.decode(errors="replace"))
        if how == "not-go":
            out.close()
        elif how == "kill":
            child.kill()
        elif how == "data-again":
            send(out, DATA, b"x")
            out.close()
        elif how == "silent":
            out.close()
        elif how == "slow":
            wait()
            send(out, GO)
        else:
            send(out, GO)
    while True:
        kind, body = receive(inp)
        if kind is None:
            break
        print({RUNNING: "running", FAILED: "failed"}.get(kind, kind), body.decode(errors="replace"))
    print("status", child.wait())


if __name__ == "__main__":
    if sys.argv[1] == "target":
        target(sys.argv[2])
    else:
        source(sys.argv[2], sys.argv[3], sys.argv[5:])
