#!/usr/bin/env python3
"""A client of torpor serve that means no good: hostile.py ADDRESS WHAT [ARGUMENT…]

Exits with 0 when each request came to what it must, else it says which did not.
  paths        paths that lead elsewhere, and other things that are no requests
  ranges FILE  ranges of /FILE that lie, and those that do not
  flood        more headers than there is room for, and a body for a server that wants none
  loris        a request whose headers never end: until the connection is closed
  slow FILE PID   /FILE is asked for and not taken: until PID has closed the connection
  crowd N      N connections that ask for nothing; then a request on a new one
"""
import os
import resource
import socket
import sys
import time

ADDRESS, WHAT, *ARGUMENTS = sys.argv[1:]
HOST, PORT = ADDRESS.removeprefix("http://").rsplit(":", 1)
wrong = []


def connect():
    return socket.create_connection((HOST, int(PORT)))


def read_all(s):
    """To its end, or to its reset."""
    data = b""
    try:
        while part := s.recv(1 << 20):
            data += part
    except ConnectionResetError:
        pass
    return data


def send(s, data):
    try:
        s.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        pass


def ask(request):
    """The status and the body; 0: the connection was closed without an answer."""
    with connect() as s:
        send(s, request)
        head, _, body = read_all(s).partition(b"\r\n\r\n")
    return int(head.split()[1]) if head.startswith(b"HTTP/") else 0, head, body


def get(path, headers="", method="GET"):
    return ask(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode("latin-1"))


def want(what, status, *good):
    if status not in good:
        wrong.append(f"{what}: {status}")


def paths():
    for path in ("/../secret.torpor", "/%2e%2e/secret.torpor", "/%2e%2e%2fsecret.torpor", "/..%2fsecret.torpor",
                 "//secret.torpor", "/./../secret.torpor", "/.secret.torpor", "/link.torpor", "/pipe.torpor",
                 "/folder.torpor", "/etc/passwd", "/v2/../secret.torpor", "/v2/%2e%2e/manifests/latest",
                 "/v2/../../secret/manifests/latest", "/v2/app/manifests/..%2f..%2flock", "/v2/app/blobs/../../../lock",
                 "/v2/app/blobs/sha256:../../../../lock", "/v2/app/manifests/%00", "/v2/app/tags/list/../..",
                 "/web.torpor%00", "/web%00.torpor", "/%", "/%zz.torpor", "/v2/" + "a/" * 4000 + "manifests/1",
                 "/" + "x" * 300 + ".torpor", "http://other.example/../secret.torpor", "*", "/v2/link/manifests/latest"):
        want(path[:60], get(path)[0], 400, 404)
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        want(method, get("/v2/app/manifests/1", "Content-Length: 0\r\n", method)[0], 405)
    want("an upload", get("/v2/app/blobs/uploads/", "Content-Length: 0\r\n", "POST")[0], 405)
    for junk in (b"\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
                 b"GET /web.torpor HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with connect() as s:
            send(s, junk)
            s.shutdown(socket.SHUT_WR)
            status = read_all(s)[9:12]
            want(repr(junk[:20]), status, b"", b"400", b"404", b"405", b"505", b"501")


def ranges(name):
    path, size = f"/{name}", os.path.getsize(name)
    with open(name, "rb") as f:
        data = f.read()
    for text, first, last in ((f"0-{size - 1}", 0, size), ("0-0", 0, 1), (f"{size - 1}-", size - 1, size), ("-5", size - 5, size),
                              (f"-{size + 5}", 0, size), (f"7-{size * 9}", 7, size), ("70000-70010", 70000, 70011)):
        status, head, body = get(path, f"Range: bytes={text}\r\n")
        want(text, status, 206)
        want(f"the bytes of {text}", body == data[first:last], True)
        want(f"what is said of {text}", f"Content-Range: bytes {first}-{last - 1}/{size}\r\n".encode() in head + b"\r\n", True)
    for text in (f"{size}-", f"{size}-{size + 1}", "-0"):
        status, head, body = get(path, f"Range: bytes={text}\r\n")
        want(text, status, 416)
        want(f"what is said of {text}", f"Content-Range: bytes */{size}".encode() in head and not body, True)
    for text in ("9-1", "a-b", "", "-", "1-2,5-6", "99999999999999999999-", " 1-2", "0x1-0x2"):
        status, _, body = get(path, f"Range: bytes={text}\r\n")
        want(text, status, 200)
        want(f"all of it for {text}", body == data, True)
    tag = next(line[6:] for line in get(path)[1].decode().split("\r\n") if line.startswith("ETag: "))
    want("the same is unchanged", get(path, f"If-None-Match: {tag}\r\n")[0], 304)
    want("another is not", get(path, 'If-None-Match: "other"\r\n')[0], 200)
    want("a range of the same", get(path, f"Range: bytes=1-2\r\nIf-Range: {tag}\r\n")[0], 206)
    want("a range of another", get(path, 'Range: bytes=1-2\r\nIf-Range: "other"\r\n')[0], 200)
    status, head, body = get(path, "", "HEAD")
    want("HEAD", (status, body), (200, b""))
    want("the size in HEAD", f"Content-Length: {size}".encode() in head, True)


def flood():
    want("one long header", get("/v2/", f"X: {'x' * (1 << 20)}\r\n")[0], 0, 413, 431)
    want("many headers", get("/v2/", "A: b\r\n" * 200000)[0], 0, 413, 431)
    want("a long query", get("/v2/?" + "a=b&" * 300000)[0], 0, 413, 414, 431)
    want("a body that is not read", get("/v2/app/manifests/1", f"Content-Length: {1 << 40}\r\n", "PUT")[0], 405)
    want("a chunk without an end", get("/v2/app/blobs/uploads/", "Transfer-Encoding: chunked\r\n", "POST")[0], 405)


def loris():
    with connect() as s:
        s.sendall(b"GET /v2/ HTTP/1.1\r\nX: ")
        s.settimeout(0.05)
        while True:
            try:
                s.sendall(b"x")
                if not s.recv(1):
                    return
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                return


def has_connections(pid):
    return sum(os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:") for fd in os.listdir(f"/proc/{pid}/fd")) > 1


def slow(name, pid):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((HOST, int(PORT)))
        s.sendall(f"GET /{os.path.basename(name)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        s.recv(1, socket.MSG_PEEK)
        while has_connections(pid):
            time.sleep(0.05)
        want("what is left in the end", len(read_all(s)) < os.path.getsize(name), True)


def crowd(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held = [connect() for _ in range(int(n))]
    want("the next request", get("/v2/")[0], 200)
    # Those that came last are still there, and may ask.
    held[-1].sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    want("the last of the crowd", read_all(held[-1])[9:12], b"200")


{"paths": paths, "ranges": ranges, "flood": flood, "loris": loris, "slow": slow, "crowd": crowd}[WHAT](*ARGUMENTS)
print("\n".join(wrong))
sys.exit(len(wrong) > 0)
