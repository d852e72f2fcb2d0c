#!/usr/bin/env python3
"""A web server for files that are used while they are fetched: range_server.py FOLDER PORTFILE [PORT].

It answers GET with closed ranges, and notes each in FOLDER/asked: NAME FROM TO. Files in FOLDER tell it what to do:
  gap          its numbers are FROM and TO: who asks for bytes of them is hung up on
  flip         its number is a byte that is given wrong; `flip-times`: so many times, else always
"""
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER, PORTFILE, *PORT = sys.argv[1:]
lock = threading.Lock()
flips = 0


def told(name):
    try:
        with open(os.path.join(FOLDER, name), encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def hang_up(self):
        self.close_connection = True

    def spoil(self, data, first):
        global flips
        at = (told("flip") or [-1])[0]
        if not first <= at < first + len(data):
            return data
        with lock:
            most = told("flip-times")
            if most and flips >= most[0]:
                return data
            flips += 1
        return data[: at - first] + bytes([data[at - first] ^ 0x10]) + data[at - first + 1 :]

    def do_GET(self):
        path = os.path.join(FOLDER, os.path.basename(self.path))
        try:
            size = os.path.getsize(path)
        except FileNotFoundError:
            self.send_error(404)
            return None
        unit, _, spec = self.headers.get("Range", "").partition("=")
        first, _, last = spec.partition("-")
        if unit != "bytes" or not first or not last:
            self.send_error(400, "no closed range")
            return None
        first, last = int(first), min(int(last), size - 1)
        gap = told("gap")
        with lock, open(os.path.join(FOLDER, "asked"), "a", encoding="ascii") as asked:
            asked.write(f"{os.path.basename(path)} {first} {last}\n")
        if gap and first < gap[1] and last >= gap[0]:
            return self.hang_up()
        with open(path, "rb") as file:
            file.seek(first)
            data = self.spoil(file.read(last - first + 1), first)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hung up


def main():
    server = Server(("127.0.0.1", int(PORT[0]) if PORT else 0), Handler)
    with open(PORTFILE + ".new", "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.rename(PORTFILE + ".new", PORTFILE)
    server.serve_forever()


main()
