"""A TCP proxy that breaks connections on command, to stand between a client and any part.

    proxy = rig.proxy("wire", to=kafka.address)     # listens on proxy.address
    proxy.half_open()                               # nobody is told, nothing passes
    proxy.heal()

A peer that tells its clients where to connect (Kafka, Pulsar) must tell them the proxy's address: give
that part the option through=proxy.address and the proxy part.through_address as its target.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from .part import Part


class Proxy(Part):
    """One proxy in a process of its own. options: to (host:port, may be given later by target())."""

    kind = "proxy"
    start_timeout = 20.0
    stop_timeout = 2.0

    def command(self) -> list[str]:
        script = Path(__file__).with_name("proxy_main.py")
        # a port that nobody listens on until target() says better
        to = self.options.get("to") or f"127.0.0.1:{self.port(8)}"
        return [sys.executable, "-I", str(script), str(self.port()), str(self.port(9)), to]

    def ready(self) -> object:
        return self.counts()

    def _tell(self, verb: str, **more) -> dict:
        with socket.create_connection(("127.0.0.1", self.port(9)), timeout=10) as link:
            link.sendall(json.dumps({"verb": verb, **more}).encode() + b"\n")
            return json.loads(link.makefile().readline())

    def counts(self) -> dict:
        """accepted and refused connections, open ones, bytes to_server and to_client."""
        return self._tell("counts")

    def target(self, address: str) -> "Proxy":
        """Where new connections go from now on."""
        self.options["to"] = address
        self._tell("target", address=address)
        return self

    def cut(self, reset: bool = False) -> None:
        """Ends all connections, by a FIN or by a reset; new ones are served."""
        self._tell("cut", reset=reset)

    def refuse(self) -> None:
        """Resets all connections, and every new one until heal()."""
        self._tell("refuse")

    def half_open(self) -> None:
        """Nothing passes any more, in neither direction, and nobody is told; until heal()."""
        self._tell("half_open")

    def delay(self, ms: float) -> None:
        """What is read from now on arrives so much later, in each direction."""
        self._tell("delay", ms=ms)

    def bandwidth(self, bytes_per_s: float) -> None:
        """The most that each direction of each connection lets pass; 0 is no limit."""
        self._tell("bandwidth", bytes_per_s=bytes_per_s)

    def reset_mid_frame(self, after: int = 10) -> None:
        """Passes so many more bytes to a client and resets that connection; once."""
        self._tell("reset_mid_frame", after=after)

    def heal(self) -> None:
        """Ends every fault; what a half-open connection held back goes on."""
        self._tell("heal")
