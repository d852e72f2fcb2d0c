#!/usr/bin/env python3
"""The programs at both ends of a vsock. In the guest:

    vsock_peer.py serve PORT               vsock_peer.py call PORT BYTES|hold

and on the host, PATH being that of --vsock:

    vsock_peer.py listen PATH PORT         vsock_peer.py connect PATH PORT BYTES|hold

`serve` and `listen` send back what they get, and say GOT and how much that was, or GONE and the error, for each
connection. `call` and `connect` send BYTES bytes and say SAME when they have come back; with `hold` they say HELD, send
each line of stdin, print what comes back, and say END or GONE and the error when the connection is over. REFUSED: there
was none."""

import errno
import os
import socket
import sys
import threading

HOST = 2  # the host's CID


def say(text):
    print(text, flush=True)


def name(error):
    return errno.errorcode.get(error.errno, str(error))


def send_back(connection):
    total = 0
    try:
        while got := connection.recv(65536):
            connection.sendall(got)
            total += len(got)
        say(f"GOT {total}")
    except OSError as error:
        say(f"GONE {name(error)}")
    connection.close()


def accept(family, address):
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    say("LISTENS")
    while True:
        threading.Thread(target=send_back, args=(listener.accept()[0],), daemon=True).start()


def call(port):
    connection = socket.socket(socket.AF_VSOCK)
    connection.connect((HOST, port))
    return connection


def connect(path, port):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(f"CONNECT {port}\n".encode())
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no OK")
        line += byte
    if not line.startswith(b"OK "):
        raise ConnectionRefusedError(errno.ECONNREFUSED, line)
    return connection


def there_and_back(connection, size):
    sent = os.urandom(size)

    def send():
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    back = b""
    while got := connection.recv(65536):
        back += got
    sender.join()
    say(f"SAME {size}" if back == sent else f"DIFFERENT {len(back)} of {size}")


def hold(connection):
    def send_lines():
        for line in sys.stdin.buffer:
            connection.sendall(line)

    threading.Thread(target=send_lines, daemon=True).start()
    say("HELD")
    try:
        while got := connection.recv(4096):
            sys.stdout.buffer.write(got)
            sys.stdout.flush()
        say("END")
    except OSError as error:
        say(f"GONE {name(error)}")


def main(verb, *args):
    if verb == "serve":
        accept(socket.AF_VSOCK, (socket.VMADDR_CID_ANY, int(args[0])))
    if verb == "listen":
        accept(socket.AF_UNIX, f"{args[0]}_{args[1]}")
    try:
        connection = call(int(args[0])) if verb == "call" else connect(args[0], int(args[1]))
    except OSError as error:
        say(f"REFUSED {name(error)}")
        return
    if args[-1] == "hold":
        hold(connection)
    else:
        there_and_back(connection, int(args[-1]))


main(*sys.argv[1:])
# A thread that waits for stdin ends with the process.
os._exit(0)
