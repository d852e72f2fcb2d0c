#!/usr/bin/env python3
"""Every verb's answer to a file of the other architecture, of those that it must read for ever: other_arch.py KERNEL.

KERNEL boots on this architecture. The table is the same in both directions. No machine runs, so KVM need not be good."""

import contextlib
import os
import platform
import socket
import subprocess
import sys

import guest as lab
from suite import INCOMPATIBLE, ok, results

HERE, OTHER = ("x86_64", "aarch64") if platform.machine() == "x86_64" else ("aarch64", "x86_64")
OCI = {"aarch64": "linux/arm64", "x86_64": "linux/amd64"}
REFUSED = f"it is for {OTHER}; this is {HERE}"
GOLDEN = os.path.join(lab.REPOSITORY, "tests/golden/v1", "" if OTHER == "x86_64" else OTHER)
DAMAGED = 121
TRANSCRIPT = os.path.join(lab.REPOSITORY, "tests/transcripts/real/redis/data.t")

# A command, its status, and what it says. @NAME is a file of GOLDEN, %NAME one that was made here, ^NAME one in the registry.
# What would run a machine refuses, by both names; all else does its work. In the order of need: what a row makes, those
# below it read.
TABLE = (
    ("inspect @signed.torpor", 0, f"torpor-1, {OTHER}"),
    ("inspect --json @packed.torpor", 0, f'"arch": "{OTHER}"'),
    ("inspect --map @hot.torpor", 0, "memory"),
    ("ls @increment.torpor", 0, "memory.0"),
    ("ls --json @signed.torpor", 0, '"signature"'),
    ("tree @increment.torpor @packed.torpor", 0, "increment.torpor"),
    ("verify @packed.torpor", 0, ": ok"),
    ("verify @hot.torpor", 0, ": ok"),
    ("verify @increment.torpor", 0, ": ok"),
    ("verify --key @key.pub @signed.torpor", 0, ": ok"),
    ("verify --key @key.pub @packed.torpor", DAMAGED, "not signed"),
    ("verify --key-file @encrypted.key @encrypted.torpor", 0, ": ok"),
    ("extract -C %. @packed.torpor state memory.0", 0, ""),
    ("extract -o %config @hot.torpor config", 0, ""),
    ("convert --flat @packed.torpor %flat.torpor", 0, "sha256:"),
    ("convert --packed=1 %flat.torpor %packed.torpor", 0, "sha256:"),
    ("convert --drop-hot @hot.torpor %cool.torpor", 0, "sha256:"),
    ("convert --encrypt --key-file @encrypted.key %flat.torpor %encrypted.torpor", 0, "sha256:"),
    ("convert --decrypt --key-file @encrypted.key @encrypted.torpor %clear.torpor", 0, "sha256:"),
    ("flatten @increment.torpor -o %one.torpor", 0, "sha256:"),
    ("keygen --no-passphrase -p %key.pub -s %secret.key", 0, ""),
    ("sign -s %secret.key %one.torpor", 0, ""),
    ("verify --key %key.pub %one.torpor", 0, ": ok"),
    ("verify %packed.torpor", 0, ": ok"),
    ("verify --key-file @encrypted.key %encrypted.torpor", 0, ": ok"),
    ("tag %one.torpor ^app:tagged", 0, ""),
    ("push ^app:tagged ^app:v1", 0, ""),
    ("push %flat.torpor ^app:flat", 0, ""),
    ("rmi ^app:tagged", 0, ""),
    ("pull ^app:v1", 0, ""),
    ("images", 0, "app:v1"),
    ("inspect ^app:v1", 0, f"torpor-1, {OTHER}"),
    ("verify --key %key.pub ^app:v1", 0, ": ok"),
    ("resume ^app:v1", INCOMPATIBLE, REFUSED),
    ("resume ^app:flat", INCOMPATIBLE, REFUSED),
    ("compat @packed.torpor", INCOMPATIBLE, REFUSED),
    ("resume %flat.torpor", INCOMPATIBLE, REFUSED),
    ("resume -d @increment.torpor", INCOMPATIBLE, REFUSED),
    ("resume --key-file @encrypted.key @encrypted.torpor", INCOMPATIBLE, REFUSED),
    ("clone -c 2 @packed.torpor", INCOMPATIBLE, REFUSED),
    ("warm @packed.torpor", INCOMPATIBLE, REFUSED),
    (f"test --from %flat.torpor {TRANSCRIPT}", 125, REFUSED),
    # Cold ones: this host's, the other's, and both under one name.
    ("run %foreign", INCOMPATIBLE, REFUSED),
    ("compat %foreign", INCOMPATIBLE, REFUSED),
    ("push --index %foreign ^cold:one", 0, ""),
    ("run ^cold:one", INCOMPATIBLE, f"it has no image for {OCI[HERE]}, but for {OCI[OTHER]}"),
    ("pull ^cold:one", INCOMPATIBLE, f"it has no image for {OCI[HERE]}, but for {OCI[OTHER]}"),
    ("push --index %cold.torpor ^cold:one", 0, ""),
    ("pull ^cold:one", 0, ""),
    ("inspect ^cold:one", 0, f"torpor-1, {HERE}"),
)


@contextlib.contextmanager
def registry(folder):
    """docker-registry on this host: its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with open(f"{folder}/registry.yml", "w", encoding="ascii") as file:
        file.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                   f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: '{address}'}}\n")
    server = subprocess.Popen(["docker-registry", "serve", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def listens():
            with contextlib.suppress(OSError), socket.create_connection(address.split(":")):
                return True
        if not lab.until(listens):
            raise lab.Failure("docker-registry does not listen")
        yield address
    finally:
        server.kill()
        server.wait()


def answers(host, kernel):
    """Each row of the table."""
    made = host.path("made")
    host.run("mkdir", made)
    host.torpor("build", "-o", f"{made}/cold.torpor", "-m", "64M", "--kernel", kernel)
    host.run("python3", f"{lab.REPOSITORY}/tests/registry/foreign.py", f"{made}/cold.torpor", OTHER, f"{made}/foreign")
    with registry(made) as address:
        places = {"@": os.path.join(GOLDEN, ""), "%": made + "/", "^": f"docker://{address}/"}
        for row, status, words in TABLE:
            argv = [places.get(word[0], word[0]) + word[1:] for word in row.split()]
            done = host.torpor(*argv, check=False)
            shown = row.replace(lab.REPOSITORY + "/", "")
            ok(f"a file for {OTHER}: {shown}: status {status}", done.status == status and words in done.out + done.err, done)
    ok("nothing runs", host.torpor("ps", "-q").out == "")


def main(kernel):
    host, = lab.hosts(1)
    try:
        answers(host, os.path.realpath(kernel))
    finally:
        lab.close([host])
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
