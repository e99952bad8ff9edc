"""What a bench needs beside the rig: the swallowing target, the server to measure, and what a process has cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml
from rig import Part
from rig import core
from rig.part import http_get
from rig.server import Cdc, _merge

TICKS = os.sysconf("SC_CLK_TCK")


class Sink(Part):
    """cdc-sink: swallows and counts ReplicateMessage, in front of a target or alone.

    options: target (name of the part it stands for, or None), rtt_ms, binary.
    """

    kind = "sink"
    token = ""
    dial_config: dict = {}

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    def command(self) -> list[str]:
        target = ["--target", self.rig.part(self.options["target"]).address] if self.options["target"] else []
        return [self.options["binary"], "--listen", str(self.port()), "--stat", str(self.port(1)),
                "--rtt-ms", str(self.options["rtt_ms"]), *target]

    def ready(self) -> object:
        return self.counts() is not None

    def _get(self, path: str) -> dict:
        return json.loads(http_get(f"http://127.0.0.1:{self.port(1)}/{path}", timeout=10))

    def counts(self) -> dict:
        return self._get("stat")

    def reset(self) -> None:
        self._get("reset")

    def lags(self) -> dict[str, list]:
        """By channel [[ms, how many ticks], ...] since the last reset."""
        return self._get("lags")


class Server(Cdc):
    """The server to measure: ours, or any that reads cdc.yaml and speaks the API.

    options: reads (its sourceConfig), binary, arguments ("{config}" in them becomes the path), config (merged over
    the generated one), wrap (a command it runs under).
    """

    kind = "bench-server"
    start_timeout = 90.0

    def config(self) -> dict:
        conf = {"address": self.address, "maxTaskNum": 100, "logLevel": "info", "sourceConfig": self.options["reads"]}
        _merge(conf, self.options["config"])
        return conf

    def prepare(self) -> None:
        super().prepare()
        there = self.path("configs")  # where the reference looks
        there.mkdir(exist_ok=True)
        (there / "cdc.yaml").write_text(self.config_path.read_text())

    def command(self) -> list[str]:
        arguments = [a.replace("{config}", str(self.config_path)) for a in self.options["arguments"]]
        return [*self.options["wrap"], self.options["binary"], *arguments]


core.KINDS |= {part.kind: part for part in (Sink, Server)}


def new_sink(rig, target, rtt_ms: int, build: Path) -> Sink:
    options = {"target": target and target.name, "rtt_ms": rtt_ms, "binary": str(build / "test/cdc-sink")}
    return rig._start(Sink, "sink", options)


def new_server(rig, reads: dict, options, config: dict | None = None, wrap: tuple = ()) -> Server:
    """The binary, arguments and configuration file that the command line names; config stands above the file."""
    merged = yaml.safe_load(options.server_config.read_text()) if options.server_config else {}
    _merge(merged, config or {})
    return rig._start(Server, "bench-cdc", {
        "reads": reads, "binary": str(options.server), "arguments": options.server_args.split(), "config": merged,
        "wrap": [str(w) for w in wrap]})


def reads_of(source) -> dict:
    """The sourceConfig of a server that reads a source Milvus of the rig."""
    return Cdc(source.rig, "reads", {"source": source.name}, source._block).config()["sourceConfig"]


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system time that the process has used so far."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    fields = text[text.rindex(b")") + 2:].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def memory_mb(pid: int) -> dict:
    """VmHWM and VmRSS in MB (10^6)."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmHWM", "VmRSS")}


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def busy_seconds() -> float:
    """CPU time that the whole machine has used so far, to tell how quiet it was."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS
