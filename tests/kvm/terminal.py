#!/usr/bin/env python3
"""A command at a terminal of its own, and one who answers its questions, which end in `[q]uit: `.

    terminal.py FILE ANSWER… -- COMMAND…

All that it says goes to FILE. Prints its exit status and the number of the signal that ended it, and
whether the terminal is set as it was before. ^C and ^D are keys. An ANSWER /TEXT/KEY waits for TEXT instead.
The terminal has $TERMINAL_COLUMNS columns, if that is set.
"""
import os
import pty
import signal
import sys
import termios

QUESTION = b"[q]uit: "
KEYS = {"^C": b"\x03", "^D": b"\x04"}

split = sys.argv.index("--")
answers, command = sys.argv[2:split], sys.argv[split + 1:]
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who runs us in the background ignores it
    os.execv(command[0], command)
if "TERMINAL_COLUMNS" in os.environ:
    termios.tcsetwinsize(terminal, (24, int(os.environ["TERMINAL_COLUMNS"])))
before = termios.tcgetattr(terminal)
said = b""


def listen():
    global said
    try:
        data = os.read(terminal, 65536)
    except OSError:
        data = b""
    said += data
    return data != b""


for answer in answers:
    asked = len(said)
    if answer.startswith("/"):
        _, text, answer = answer.split("/")
        while text.encode() not in said[asked:] and listen():
            pass
    else:
        while not said[asked:].endswith(QUESTION) and listen():
            pass
    os.write(terminal, KEYS.get(answer) or answer.encode() + b"\n")
while listen():
    pass
with open(sys.argv[1], "wb") as out:
    out.write(said)
status = os.waitpid(pid, 0)[1]
same = termios.tcgetattr(terminal) == before
print(os.WEXITSTATUS(status), os.WTERMSIG(status), "sane" if same else "changed")
