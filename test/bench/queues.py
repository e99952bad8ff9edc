"""The source's queue as a bench sees it: where a topic ends, and what it costs to read it and do nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rig import RigError

FLOOR_S = 240


class Kafka:
    floor_title = "librdkafka alone"

    def __init__(self, rig, build: Path):
        self.part, self.build = rig.part("kafka"), build

    def end(self, topic: str) -> str:
        return str(self.part.ends(topic)[1])

    def behind(self, topic: str, end: str) -> int:
        """How many messages came after that end."""
        return int(self.end(topic)) - int(end)

    def floor(self, topics: dict) -> dict:
        """The ranges of the topics, [first, end), read and thrown away."""
        return _run([self.build / "test/kafka-floor", self.part.address], topics)


class Pulsar:
    floor_title = "Pulsar's C++ client alone"

    def __init__(self, rig, build: Path):
        self.part = rig.part("pulsar")

    def end(self, topic: str) -> str:
        """ledger:entry of the last message."""
        return self.part.rest(f"persistent/public/default/{topic}/internalStats")["lastConfirmedEntry"]

    def behind(self, topic: str, end: str) -> int:
        (ledger, entry), (then, before) = ([int(n) for n in place.split(":")] for place in (self.end(topic), end))
        return entry - before if ledger == then else entry + 1

    def floor(self, topics: dict) -> dict:
        """As for Kafka, (first, end]."""
        return _run([sys.executable, Path(__file__).with_name("pulsar_floor.py"), self.part.url], topics)


def _run(command: list, topics: dict) -> dict:
    ranges = [f"{topic}@{first},{end}" for topic, (first, end) in topics.items()]
    done = subprocess.run([*command, *ranges], capture_output=True, text=True, timeout=FLOOR_S)
    if done.returncode:
        raise RigError(f"{command[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def of(rig, build: Path) -> Kafka | Pulsar:
    """The queue of the rig's source."""
    return {"kafka": Kafka, "pulsar": Pulsar}[rig.part("source").options["mq"]](rig, build)
