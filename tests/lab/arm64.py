"""Scenarios on two hosts of arm64: what travels does there, too."""

import sys

import suite
import travel


def under_load_on_arm64(host1, host2):
    travel.under_load(host1, host2)


if __name__ == "__main__":
    sys.exit(suite.main([under_load_on_arm64], hosts=2))
