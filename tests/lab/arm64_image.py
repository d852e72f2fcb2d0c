#!/usr/bin/env python3
"""arm64_image.py FOLDER: a container image for both architectures, made of packages that images/*/build have fetched."""

import shutil
import sys

import build
import oci_image


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    layers = {name: [build.base(architecture=name)] for name in ("amd64", "arm64")}
    for name, (layer,) in layers.items():
        layer.add("etc/platform", name.encode() + b"\n")
    oci_image.write_all(folder, layers,
                        build.shell("trap 'exit 7' TERM; cat /etc/platform; while true; do sleep 0.1; done"))
    shutil.rmtree(build.WORK)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
