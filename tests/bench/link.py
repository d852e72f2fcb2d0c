"""A link of a limited rate and delay between a client and a server on this host: the relay of link.c."""
import subprocess

from bench import BIN


class Link:
    """`slow`: its connections begin slowly, as TCP does. What went through since forget(): bytes down, connections,
    requests."""

    def __init__(self, target_port, mbit, rtt_ms, slow=False):
        self.mbit, self.rtt_ms = mbit, rtt_ms
        self.process = subprocess.Popen([f"{BIN}/link", str(target_port), str(mbit), str(rtt_ms), *(["slow"] if slow else [])],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def counts(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return tuple(int(n) for n in self.process.stdout.readline().split())

    def end(self):
        self.process.stdin.close()
        self.process.wait()
