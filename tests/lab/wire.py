"""What passes a network interface, whether its checksums are right, and sockets in other namespaces.

    with wire.inside("far"):
        capture = wire.Capture("eth0")
    ...
    frames = capture.end()
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import threading

import guest as lab

LIBC = ctypes.CDLL(None, use_errno=True)
# Of linux/sched.h, if_ether.h, asm/socket.h and if_packet.h; the socket module has not all of them.
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6

ETHERNET = 14  # bytes of a frame's header


@contextlib.contextmanager
def inside(namespace):
    """A socket that this thread makes in the block belongs to that namespace, wherever it is used."""
    with open("/proc/thread-self/ns/net", "rb") as home:
        with open(f"/run/netns/{namespace}", "rb") as there:
            enter(there)
        try:
            yield
        finally:
            enter(home)


def enter(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise lab.Failure(f"setns: {os.strerror(ctypes.get_errno())}")


class Capture:
    """The frames that pass an interface of this thread's namespace, both ways, from now until end().
    A frame is in the socket's queue before its receiver has it, so that nothing is waited for then."""

    def __init__(self, interface):
        self.frames = []
        self.ended, self.ending = os.pipe()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
        self.socket.bind((interface, ETH_P_ALL))
        self.socket.setblocking(False)
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self):
        ended = False
        while not ended:
            ended = self.ended in select.select([self.socket, self.ended], [], [])[0]
            try:
                while True:
                    self.frames.append(self.socket.recv(1 << 17))
            except BlockingIOError:
                pass
            except OSError:  # the interface is gone
                return

    def end(self):
        os.close(self.ending)
        self.thread.join()
        os.close(self.ended)
        dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self.socket.close()
        if dropped:
            raise lab.Failure(f"{dropped} frames were not captured")
        return self.frames


class Segment:
    """A TCP segment over IPv4 in an Ethernet frame (RFC 791 §3.1, RFC 9293 §3.1)."""

    def __init__(self, frame):
        self.size = len(frame)
        self.source = socket.inet_ntoa(frame[26:30])
        length, = struct.unpack_from(">H", frame, 16)
        header = frame[ETHERNET:ETHERNET + (frame[14] & 15) * 4]
        tcp = frame[ETHERNET + len(header):ETHERNET + length]
        self.to_port, = struct.unpack_from(">H", tcp, 2)
        self.data = len(tcp) - (tcp[12] >> 4) * 4
        pseudo = frame[26:34] + struct.pack(">HH", socket.IPPROTO_TCP, len(tcp))
        self.header_right = adds_up(header)
        self.checksum_right = len(header) + len(tcp) == length and adds_up(pseudo + tcp)


def adds_up(data):
    """Is the ones' complement sum of its 16-bit words, a checksum among them, -0? (RFC 1071)"""
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xffff == 0


def segments(frames):
    return [Segment(frame) for frame in frames
            if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP]
