"""A checking proxy in front of a target Milvus, as a part of a rig.

It passes every call on, shows each to a `check.Checker`, and on command answers calls in the target's
place: refusals, quota errors, answers that get lost although the target did what was asked.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from rig import Part
from rig import core


class Witness(Part):
    """Can be given to Cdc.create in the target's place. options: target (a part's name), to (another address)."""

    kind = "witness"
    start_timeout = 30.0
    stop_timeout = 2.0
    dial_config: dict = {}

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    @property
    def token(self) -> str:
        return self.rig.part(self.options["target"]).token if self.options.get("target") else ""

    def command(self) -> list[str]:
        to = self.options.get("to") or self.rig.part(self.options["target"]).address
        return [sys.executable, str(Path(__file__).with_name("witness_main.py")), str(self.port()),
                str(self.port(9)), to]

    def ready(self) -> object:
        return self.counts() is not None

    def _tell(self, verb: str, **more) -> dict:
        with socket.create_connection(("127.0.0.1", self.port(9)), timeout=20) as link:
            link.sendall(json.dumps({"verb": verb, **more}).encode() + b"\n")
            return json.loads(link.makefile().readline())

    def counts(self) -> dict:
        """calls, messages, rows, ticks, operations, violations, injected faults, channels."""
        return self._tell("counts")

    def violations(self) -> list[str]:
        """Everything that was broken so far, with the bytes."""
        return self._tell("violations")["violations"]

    def fence(self, collections: list[str], why: str) -> None:
        """Nothing may be written for these any more: "database/name" on the target."""
        self._tell("fence", collections=collections, why=why)

    def unfence(self, collections: list[str]) -> None:
        self._tell("unfence", collections=collections)

    def fault(self, method: str, **how) -> None:
        """For the next calls of a method; how: the fields of witness_main.Fault."""
        self._tell("fault", method=method, **how)

    def heal(self) -> None:
        """No more faults."""
        self._tell("heal")


core.KINDS[Witness.kind] = Witness


def new_witness(rig, target=None, name: str = "witness", to: str = "") -> Witness:
    """In front of a part, or of any address."""
    return rig._start(Witness, name, {"target": target.name if target else "", "to": to})
