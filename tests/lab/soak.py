"""The long scenarios, for `make soak`."""

import sys

import suite
from chain import chain


def fifty_deep(host1, host2):
    chain(host1, host2, 50)


if __name__ == "__main__":
    sys.exit(suite.main([fifty_deep], hosts=2))
