"""What a bench needs beside the rig: the swallowing proxy, and what a process has cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rig import Part
from rig import core
from rig.part import http_get

TICKS = os.sysconf("SC_CLK_TCK")


class Sink(Part):
    """cdc-sink in front of a target: swallows and counts ReplicateMessage.

    options: target (name of the part it stands for), rtt_ms, binary.
    """

    kind = "sink"
    token = ""
    dial_config: dict = {}

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    def command(self) -> list[str]:
        return [self.options["binary"], "--listen", str(self.port()), "--stat", str(self.port(1)),
                "--target", self.rig.part(self.options["target"]).address,
                "--rtt-ms", str(self.options["rtt_ms"])]

    def ready(self) -> object:
        return self.counts() is not None

    def counts(self) -> dict:
        return json.loads(http_get(f"http://127.0.0.1:{self.port(1)}/stat", timeout=5))


core.KINDS[Sink.kind] = Sink


def new_sink(rig, target, rtt_ms: int, build: Path) -> Sink:
    options = {"target": target.name, "rtt_ms": rtt_ms, "binary": str(build / "test/cdc-sink")}
    return rig._start(Sink, "sink", options)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system time that the process has used so far."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    fields = text[text.rindex(b")") + 2:].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def memory_mb(pid: int) -> dict:
    """VmHWM and VmRSS in MB (10^6)."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmHWM", "VmRSS")}


def busy_seconds() -> float:
    """CPU time that the whole machine has used so far, to tell how quiet it was."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS
