#!/usr/bin/env python3
"""A proxy before a registry that cuts, lies and refuses: proxy.py UPSTREAM PORTFILE LOG MODE…

One line for each request in LOG: METHOD PATH auth=yes|no range=RANGE. Modes:
  cut=N        blobs end after N bytes of what was asked for, three times in all
  whole        a range is answered with 200 and the whole blob
  otherrange   a range is answered with 206 of other bytes, once
  norange      a range is answered with 416
  always       cut and otherrange have no end
  forgets      a first piece of 4 MiB is taken and lost, and each second one is answered with 500
  flip         one byte of each blob of more than 64 KiB is another one
  endless      a blob is followed by more and more bytes
  nohead       405 for HEAD
  max=N        413 for a body of more than N bytes
  patch201     201 for PATCH instead of 202
  busy=N       503 with Retry-After: 1, for the first N requests for blobs
  redirect=H:P blobs are at another host
  basic        401 unless there is Basic authorization, which is not passed on
  token=N      401 unless there is a Bearer token of /token, each of which is good for N requests
  subject      a manifest with a subject is taken note of (OCI-Subject)
  referrers=F  the referrers of every image are what the file F says
  stall        nothing of a blob comes, and the connection stays
  moved        each answer to a POST or PATCH names another Location, which is good once
  cutup        the third piece of an upload is cut off in its body, once
  quiet        no Accept-Ranges
  signed=N     blobs are at an address of another name of this host, each of which is good for N requests
  port=P       listen there
  starting=N   the first N connections are closed before anything is read
  notls        a connection that begins with a message of TLS is closed at it
Of closed ranges that are not all of a blob:
  pcut=N       the first N end in their middle
  pstall=N     nothing comes of the first N, and the connection stays
  pbusy=N      503 with Retry-After: 1 for the first N
  pwrong=N     a byte in the middle of the first N is another one
  pother=N     the first N are answered with the bytes before those that were asked for
  pshort=N     the first N are answered with ten bytes of what was asked for
  half         what is asked for without a range ends in its middle, and nobody says how long it is
  hold=FILE    they wait while there is such a file; with holdfrom=N those from byte N on
It is a forward proxy, too: for http://ANY/PATH, not for CONNECT.
"""
import http.client
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM, PORTFILE, LOG, *MODES = sys.argv[1:]
MODE = dict(m.partition("=")[::2] for m in MODES)
left = {"cut": 3, "busy": int(MODE.get("busy") or 0), "otherrange": 1, "cutup": 1, "starting": int(MODE.get("starting") or 0)}
left.update((name, int(MODE.get(name) or 0)) for name in ("pcut", "pstall", "pbusy", "pwrong", "pother", "pshort"))
tokens = {}  # how many requests each is still good for
signed = {}  # addresses of blobs: the path, and for how many requests each is still good
places = {}  # of uploads: the registry's own, by what we called them
lock = threading.Lock()


def take(name):
    if "always" in MODE and name in ("cut", "otherrange"):
        return True
    with lock:
        left[name] -= 1
        return left[name] >= 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        if take("starting"):
            return
        if "notls" in MODE and self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            return
        super().handle()

    def linger(self, length):
        """Take what is still sent: a socket closed before resets the connection, and the answer can be lost
        (RFC 9112, 9.6)."""
        try:
            while length > 0 and (part := self.rfile.read(min(length, 1 << 16))):
                length -= len(part)
        except ConnectionError:
            pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        if self.command == "CONNECT":
            self.answer(405)
            return
        if self.path.startswith("http://"):
            self.path = "/" + self.path.split("/", 3)[3]
        auth, wanted = self.headers.get("Authorization"), self.headers.get("Range")
        with lock, open(LOG, "a", encoding="ascii") as log:
            log.write(f"{self.command} {self.path} auth={'yes' if auth else 'no'} range={wanted}\n")
        length = int(self.headers.get("Content-Length") or 0)
        if "max" in MODE and length > int(MODE["max"]):
            self.close_connection = True
            self.answer(413)
            self.linger(length)
            return
        if "cutup" in MODE and (self.headers.get("Content-Range") or "").startswith(f"{8 << 20}-") and take("cutup"):
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        blob = self.command == "GET" and ("/blobs/sha256:" in self.path or self.path.endswith(".torpor"))
        if self.path.startswith("/token?"):
            self.give_token()
        elif "token" in MODE and not self.is_good(auth):
            realm = f'http://{self.headers["Host"]}/token'
            self.answer(401, [("WWW-Authenticate", f'Bearer realm="{realm}",service="test"')])
        elif self.path.startswith("/signed/"):
            self.give_signed(wanted)
        elif blob and "signed" in MODE:
            self.sign()
        elif self.path.startswith("/place/") and self.path.split("?")[0] not in places:
            self.answer(404)
        elif "basic" in MODE and not (auth or "").startswith("Basic "):
            self.answer(401, [("WWW-Authenticate", 'Basic realm="test"')])
        elif "nohead" in MODE and self.command == "HEAD":
            self.answer(405)
        elif "referrers" in MODE and "/referrers/" in self.path:
            with open(MODE["referrers"], "rb") as f:
                self.answer(200, [("Content-Type", "application/vnd.oci.image.index.v1+json")], f.read())
        elif blob and "norange" in MODE and wanted:
            self.answer(416)
        elif "forgets" in MODE and self.command == "PATCH" and not self.headers["Content-Range"].startswith("0-"):
            self.answer(500)
        elif "forgets" in MODE and self.command == "PATCH" and length == 4 << 20:
            self.answer(202, [("Location", self.path), ("Range", f"0-{length - 1}")])
        elif "forgets" in MODE and self.command == "GET" and "/uploads/" in self.path:
            self.answer(204, [("Location", self.path), ("Range", "0-0")])
        elif blob and "busy" in MODE and take("busy"):
            self.answer(503, [("Retry-After", "1")])
        elif blob and "redirect" in MODE:
            self.answer(307, [("Location", f"http://{MODE['redirect']}{self.path}")])
        else:
            self.forward(body, wanted, blob)

    def sign(self):
        with lock:
            ours = f"/signed/{os.urandom(8).hex()}"
            signed[ours] = [self.path, int(MODE["signed"])]
        port = self.headers["Host"].rpartition(":")[2]
        self.answer(307, [("Location", f"http://localhost:{port}{ours}")])

    def give_signed(self, wanted):
        with lock:
            path, good = signed.get(self.path, ("", 0))
            if good > 0:
                signed[self.path][1] -= 1
        if good <= 0:
            self.answer(403)
            return
        self.path = path
        self.forward(b"", wanted, True)

    def give_token(self):
        with lock:
            token = f"token-{len(tokens)}"
            tokens[token] = int(MODE["token"])
        self.answer(200, [("Content-Type", "application/json")],
                    json.dumps({"token": token, "expires_in": 300}).encode())

    @staticmethod
    def is_good(auth):
        """A token that is used up is one that has expired."""
        name = (auth or "").removeprefix("Bearer ")
        with lock:
            if name not in tokens:
                return False
            tokens[name] -= 1
            return tokens[name] >= 0

    def place(self):
        """The registry's own path; one of ours is good once for what changes it."""
        path, _, query = self.path.partition("?")
        if path not in places:
            return self.path
        own = places.pop(path) if self.command in ("PATCH", "PUT") else places[path]
        return own + ("&" if "?" in own else "?") * bool(query) + query

    @staticmethod
    def move(headers):
        moved = []
        for name, value in headers:
            if "moved" in MODE and name.lower() == "location" and "/uploads/" in value:
                ours = f"/place/{os.urandom(8).hex()}"
                places[ours] = "/" + value.split("/", 3)[3] if "://" in value else value
                value = ours
            moved.append((name, value))
        return moved

    def forward(self, body, wanted, blob):
        upstream = http.client.HTTPConnection(UPSTREAM)
        dropped = {"authorization", "connection", "expect"}
        if "whole" in MODE or "otherrange" in MODE:
            dropped.add("range")
        headers = {n: v for n, v in self.headers.items() if n.lower() not in dropped}
        upstream.request(self.command, self.place(), body=body, headers=headers)
        response = upstream.getresponse()
        data, status = response.read(), response.status
        kept = [(n, v) for n, v in response.getheaders()
                if n.lower() not in ("content-length", "connection", "transfer-encoding")]
        kept = self.move(kept)
        if "patch201" in MODE and self.command == "PATCH" and status == 202:
            status = 201
        if blob and "otherrange" in MODE and wanted and take("otherrange"):
            status = 206
            kept.append(("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}"))
        if "subject" in MODE and self.command == "PUT" and "/manifests/" in self.path and b'"subject"' in body:
            kept.append(("OCI-Subject", json.loads(body)["subject"]["digest"]))
        if "quiet" in MODE:
            kept = [(n, v) for n, v in kept if n.lower() != "accept-ranges"]
        if blob and response.status == 206 and self.partial(response.getheader("Content-Range"), data, kept):
            return
        if blob and "flip" in MODE and len(data) > 65536:
            data = data[:70] + bytes([data[70] ^ 1]) + data[71:]
        if blob and "stall" in MODE and len(data) > 65536:
            self.begin(status, kept, len(data))
            time.sleep(3600)
        elif blob and "half" in MODE and not wanted:
            self.begin(status, kept, None)
            self.wfile.write(data[:len(data) // 2])
            self.close_connection = True
        elif blob and "endless" in MODE and len(data) > 65536:
            self.endless(status, data, kept)
        elif blob and "cut" in MODE and len(data) > int(MODE["cut"]) and take("cut"):
            self.begin(status, kept, len(data))
            self.wfile.write(data[:int(MODE["cut"])])
            self.close_connection = True
        elif self.command == "HEAD":
            self.send_response(status)
            for name, value in response.getheaders():
                self.send_header(name, value)
            self.end_headers()
        else:
            self.answer(status, kept, data)

    def partial(self, content_range, data, headers):
        """What becomes of a range that is not all of a blob: True when it is answered."""
        span, _, size = content_range.removeprefix("bytes ").partition("/")
        first, last = (int(n) for n in span.split("-"))
        if first == 0 and last == int(size) - 1:
            return False
        while "hold" in MODE and first >= int(MODE.get("holdfrom") or 0) and os.path.exists(MODE["hold"]):
            time.sleep(0.01)
        if take("pbusy"):
            self.answer(503, [("Retry-After", "1")])
        elif take("pstall"):
            self.begin(206, headers, len(data))
            time.sleep(3600)
        elif take("pcut"):
            self.begin(206, headers, len(data))
            self.wfile.write(data[:len(data) // 2])
            self.close_connection = True
        elif take("pwrong"):
            middle = len(data) // 2
            self.answer(206, headers, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:])
        elif first > 0 and take("pother"):
            moved = [(n, v) for n, v in headers if n.lower() != "content-range"]
            moved.append(("Content-Range", f"bytes {first - 1}-{last - 1}/{size}"))
            self.answer(206, moved, data)
        elif first > 0 and len(data) > 10 and take("pshort"):
            few = [(n, v) for n, v in headers if n.lower() != "content-range"]
            few.append(("Content-Range", f"bytes {first}-{first + 9}/{size}"))
            self.answer(206, few, data[:10])
        else:
            return False
        return True

    def begin(self, status, headers, length):
        self.send_response(status)
        for name, value in headers + [("Content-Length", str(length))] * (length is not None):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def endless(self, status, data, headers):
        self.close_connection = True
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        try:
            while True:
                self.wfile.write(data)
        except OSError:
            pass

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_CONNECT = handle_any


server = ThreadingHTTPServer(("127.0.0.1", int(MODE.get("port") or 0)), Handler)
with open(PORTFILE, "w", encoding="ascii") as port:
    port.write(str(server.server_address[1]))
server.serve_forever()
