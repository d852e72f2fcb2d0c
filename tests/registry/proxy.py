#!/usr/bin/env python3
"""A proxy before a registry that cuts, lies and refuses: proxy.py UPSTREAM PORTFILE LOG MODE…

One line for each request in LOG: METHOD PATH auth=yes|no range=RANGE. Modes:
  cut=N        blobs end after N bytes of what was asked for, three times in all
  whole        a range is answered with 200 and the whole blob
  otherrange   a range is answered with 206 of other bytes, once
  flip         one byte of each blob of more than 64 KiB is another one
  endless      a blob is followed by more and more bytes
  nohead       405 for HEAD
  max=N        413 for a body of more than N bytes
  patch201     201 for PATCH instead of 202
  busy=N       503 with Retry-After: 1, for the first N requests for blobs
  redirect=H:P blobs are at another host
  basic        401 unless there is Basic authorization, which is not passed on
"""
import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM, PORTFILE, LOG, *MODES = sys.argv[1:]
MODE = dict(m.partition("=")[::2] for m in MODES)
left = {"cut": 3, "busy": int(MODE.get("busy") or 0), "otherrange": 1}
lock = threading.Lock()


def take(name):
    with lock:
        left[name] -= 1
        return left[name] >= 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
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
        auth, wanted = self.headers.get("Authorization"), self.headers.get("Range")
        with lock, open(LOG, "a", encoding="ascii") as log:
            log.write(f"{self.command} {self.path} auth={'yes' if auth else 'no'} range={wanted}\n")
        length = int(self.headers.get("Content-Length") or 0)
        if "max" in MODE and length > int(MODE["max"]):
            self.close_connection = True
            self.answer(413)
            return
        body = self.rfile.read(length)
        blob = self.command == "GET" and "/blobs/sha256:" in self.path
        if "basic" in MODE and not (auth or "").startswith("Basic "):
            self.answer(401, [("WWW-Authenticate", 'Basic realm="test"')])
        elif "nohead" in MODE and self.command == "HEAD":
            self.answer(405)
        elif blob and "busy" in MODE and take("busy"):
            self.answer(503, [("Retry-After", "1")])
        elif blob and "redirect" in MODE:
            self.answer(307, [("Location", f"http://{MODE['redirect']}{self.path}")])
        else:
            self.forward(body, wanted, blob)

    def forward(self, body, wanted, blob):
        upstream = http.client.HTTPConnection(UPSTREAM)
        dropped = {"authorization", "connection", "expect"}
        if "whole" in MODE or "otherrange" in MODE:
            dropped.add("range")
        headers = {n: v for n, v in self.headers.items() if n.lower() not in dropped}
        upstream.request(self.command, self.path, body=body, headers=headers)
        response = upstream.getresponse()
        data, status = response.read(), response.status
        kept = [(n, v) for n, v in response.getheaders()
                if n.lower() not in ("content-length", "connection", "transfer-encoding")]
        if "patch201" in MODE and self.command == "PATCH" and status == 202:
            status = 201
        if blob and "otherrange" in MODE and wanted and take("otherrange"):
            status = 206
            kept.append(("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}"))
        if blob and "flip" in MODE and len(data) > 65536:
            data = data[:70] + bytes([data[70] ^ 1]) + data[71:]
        if blob and "endless" in MODE and len(data) > 65536:
            self.endless(data, kept)
        elif blob and "cut" in MODE and len(data) > int(MODE["cut"]) and take("cut"):
            self.send_response(status)
            for name, value in kept + [("Content-Length", str(len(data)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:int(MODE["cut"])])
            self.close_connection = True
        elif self.command == "HEAD":
            self.send_response(status)
            for name, value in response.getheaders():
                self.send_header(name, value)
            self.end_headers()
        else:
            self.answer(status, kept, data)

    def endless(self, data, headers):
        self.close_connection = True
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        try:
            while True:
                self.wfile.write(data)
        except OSError:
            pass

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = handle_any


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(PORTFILE, "w", encoding="ascii") as port:
    port.write(str(server.server_address[1]))
server.serve_forever()
