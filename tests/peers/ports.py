#!/usr/bin/env python3
"""A TCP port of this host's loopback that nobody uses, and that no outgoing connection is given.

usage: ports.py      prints one

A port that the kernel gives to outgoing connections may be taken while a daemon is down for a restart, even by the
client that tries to reach it there.
"""

import pathlib
import random
import socket

LEAST = 15000
RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES = 1000


def free_port():
    """One that is free now."""
    outgoing = int(RANGE.read_text().split()[0])
    for _ in range(TRIES):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(LEAST, outgoing)))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SystemExit(f"no port from {LEAST} to {outgoing} is free on 127.0.0.1")


if __name__ == "__main__":
    print(free_port())
