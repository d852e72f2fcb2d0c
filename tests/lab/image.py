"""A container image becomes a live appliance in one command, goes to a registry, and wakes on the other host."""

import os
import subprocess
import sys

import guest as lab
import suite
from build import debian_image, inside, runs_with
from suite import note, ok

REGISTRY = "10.77.0.1:5000" if lab.in_lab() else "127.0.0.1:5000"
ASK = ["redis-cli", "--raw"]


def start_registry(host):
    """Debian's, on host1, where this runs."""
    config = host.path("registry.yml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {host.path("registry")}}}}}
http: {{addr: "{REGISTRY}"}}
""")
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.until(lambda: host.run("curl", "-s", f"http://{REGISTRY}/v2/", check=False).status == 0)
    return server


def mebibytes(host, path):
    return int(host.run("du", "-sb", path).out.split()[0]) / (1 << 20)


def live_and_pushed(host1, host2):
    file, reference = host1.path("redis.torpor"), f"docker://{REGISTRY}/lab/redis:live"
    built = host1.torpor("build", "--live", "-o", file, "-m", "256M", *debian_image("redis"), "--ready", "port:6379",
                         "--ready", "exec:redis-cli set greeting 'still here'", check=False)
    ok("one command: an image is built, boots, is ready, is saved", built.status == 0, built)
    ok("no machine is left", host1.torpor("ps", "-aq").out == "")
    note(f"built in {built.ms / 1000:.1f} s: {mebibytes(host1, file):.1f} MiB")
    said = host1.torpor("inspect", file).out
    ok("it is live, with a hot set, and says its image's ports",
       "live        yes, redis, " in said and "memory.0.hot " in said and '"torpor.ports":"6379/tcp"' in said, said)
    server = start_registry(host1)
    try:
        pushed = host1.torpor("push", "--plain-http", file, reference)
        pulled = host2.torpor("pull", "--plain-http", reference)
    finally:
        server.kill()
        server.wait()
    note(f"pushed in {pushed.ms / 1000:.1f} s, pulled in {pulled.ms / 1000:.1f} s")
    woken = host2.torpor("resume", "-d", "--name", "far", "-p", "127.0.0.1:7000:6379", reference)
    ok("it wakes on the other host", woken.out == "far\n", woken)
    ok("commands run there", runs_with(host2, "far", "true"))
    got = inside(host2, "far", *ASK, "get", "greeting")
    ok("its key is there", got.out == "still here\n", got)
    got = host2.run(*ASK, "-p", "7000", "get", "greeting", check=False)
    ok("also through its port", got.out == "still here\n", got)
    host2.torpor("stop", "-t", "600", "far")
    status = host2.torpor("wait", "far", check=False)
    ok("its stop signal ends it", (status.status, status.out) == (0, "poweroff: status 0\n") or
       (status.status, status.out) == (0, "poweroff\n"), status)


if __name__ == "__main__":
    sys.exit(suite.main([live_and_pushed], hosts=2))
