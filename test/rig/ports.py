"""Blocks of ten loopback ports that no other rig takes.

Probing alone races: a port is free until the server binds it, and a restarted server wants its old
ports back. So a block is a lock file as well. The lock is inherited by the servers, which keep the
block reserved for as long as one of them lives, even when the rig's process is gone.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket

from . import cache

SIZE = 10
FIRST, LAST = 20000, 32000  # below the range from which the kernel takes outgoing ports


class Block:
    """Ports base .. base+9."""

    def __init__(self, base: int, fd: int):
        self.base, self.fd = base, fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # any address: a listener on one of them is enough to collide
        except OSError:
            return False
        return True


def _lock(base: int) -> int:
    """The descriptor that holds the block, or -1 when someone else does."""
    folder = cache.root() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / str(base), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return -1
    return fd


def reserve() -> Block:
    """A free block."""
    bases = list(range(FIRST, LAST, SIZE))
    random.shuffle(bases)
    for base in bases:
        fd = _lock(base)
        if fd < 0:
            continue
        if all(_free(base + i) for i in range(SIZE)):
            return Block(base, fd)
        os.close(fd)
    raise RuntimeError(f"no {SIZE} free ports in a row between {FIRST} and {LAST}")


def retake(base: int) -> Block:
    """The block of a part that another process started; unlocked if that part still holds it."""
    return Block(base, _lock(base))
