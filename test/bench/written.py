"""A source that the bench writes itself, into a real etcd and a real Kafka, as a Milvus 2.3 would have.

For what would take a Milvus hours to write: thousands of collections, hundreds of channels, hours of ticks. All is
sent in bulk; e2e/synthetic.py does the same one by one, for tests.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from pymilvus.grpc_gen import common_pb2, schema_pb2

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))
from synthetic import TOMBSTONE, key_field, number, text, varint  # noqa: E402

TICK_MS = 200
ETCD_OPS = 120      # of one transaction; the server's limit is 128
BODIES = 16         # different sets of vectors
QUEUED_MB = 64      # what the producer may hold
DEFAULT_DB = 1


def base(kind: int, at: int, number_: int) -> bytes:
    return text(1, number(1, kind) + number(2, number_) + number(3, at) + number(4, 1))


@dataclass
class Written:
    """One collection of a Source."""
    id: int
    name: str
    created: int
    partition: int
    pchannels: list[str]
    starts: list[int] = field(default_factory=list)

    def vchannel(self, shard: int) -> str:
        return f"{self.pchannels[shard]}_{self.id}v{shard}"

    def value(self) -> bytes:
        shards = range(len(self.pchannels))
        out = number(1, self.id) + text(2, text(1, self.name)) + number(3, self.created)
        out += b"".join(text(7, self.vchannel(s)) for s in shards) + b"".join(text(8, p) for p in self.pchannels)
        out += number(10, len(self.pchannels))
        out += b"".join(text(11, text(1, p) + text(2, offset.to_bytes(8, "little")))
                        for p, offset in zip(self.pchannels, self.starts))
        return out + number(12, 2) + number(15, DEFAULT_DB)


class Source:
    def __init__(self, rig, channels: int, dim: int = 128, name: str = ""):
        from confluent_kafka import Producer

        self.name = name or f"w{random.randrange(10**9)}"
        self.etcd, self.kafka = rig.part("etcd"), rig.part("kafka")
        self.dim, self.replicate_channel = dim, f"{self.name}-replicate-msg"
        self.pchannels = [f"{self.name}-rootcoord-dml_{n}" for n in range(channels)]
        self._ids = itertools.count(self.ts(time.time_ns()))
        self._lock, self._last = threading.Lock(), 0
        self._bodies: dict[int, list[bytes]] = {}
        self._producer = Producer({
            "bootstrap.servers": self.kafka.address, "compression.type": "zstd", "linger.ms": 0,
            "message.max.bytes": 10000000, "queue.buffering.max.kbytes": QUEUED_MB << 10})
        self._topics([*self.pchannels, self.replicate_channel])
        self.etcd.put(f"{self.name}/kv/gid/timestamp", (time.time_ns() + 3 * 10**9).to_bytes(8, "big"))
        self.put({f"database/db-info/{DEFAULT_DB}": text(2, "default") + number(3, DEFAULT_DB) + number(4, 1)
                                                     + number(5, self.stamp())})
        self.send(self.replicate_channel, self.tick_message(self.stamp()))
        self.flush()

    def reads(self) -> dict:
        """The sourceConfig of a server that reads it."""
        return {"etcd": {"address": [self.etcd.address], "rootPath": self.name, "metaSubPath": "meta"},
                "kafka": {"address": self.kafka.address}, "replicateChan": self.replicate_channel}

    # time ----------------------------------------------------------------------------------------

    @staticmethod
    def ts(ns: int) -> int:
        return ns // 1000000 << 18

    def stamp(self) -> int:
        """A time of this source; they only grow."""
        self._last = max(self._last + 1, self.ts(time.time_ns()))
        return self._last

    # etcd and topics -----------------------------------------------------------------------------

    def put(self, keys: dict[str, bytes]) -> None:
        pairs = [{"requestPut": {"key": base64.b64encode(f"{self.name}/meta/root-coord/{k}".encode()).decode(),
                                 "value": base64.b64encode(v).decode()}} for k, v in keys.items()]
        for first in range(0, len(pairs), ETCD_OPS):
            self.etcd.call("kv/txn", {"success": pairs[first:first + ETCD_OPS]})

    def _topics(self, names: list[str]) -> None:
        from confluent_kafka.admin import NewTopic

        admin = self.kafka.admin()  # it must live as long as its futures
        for done in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
            done.result(timeout=60)

    def send(self, topic: str, payload: bytes, on_offset=None) -> None:
        done = (lambda error, m: on_offset(m.offset())) if on_offset else None
        while True:
            try:
                self._producer.produce(topic, payload, partition=0, on_delivery=done)
                return
            except BufferError:
                self._producer.poll(0.05)

    def flush(self) -> None:
        with self._lock:  # ticks that go on being added would never let it end
            if self._producer.flush(120):
                raise TimeoutError("Kafka does not take what the bench writes")

    @staticmethod
    def tick_message(at: int) -> bytes:
        return base(common_pb2.TimeTick, at, 0)

    def tick(self, at: int = 0) -> None:
        """One on every channel, of now or of another time."""
        with self._lock:
            message = self.tick_message(at or self.stamp())
            for channel in self.pchannels:
                self.send(channel, message)
        self._producer.poll(0)

    @contextlib.contextmanager
    def ticking(self):
        """As rootcoord does."""
        stop = threading.Event()

        def run() -> None:
            due = time.monotonic()
            while not stop.is_set():
                self.tick()
                due = max(due + TICK_MS / 1000, time.monotonic())
                stop.wait(due - time.monotonic())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    # collections ---------------------------------------------------------------------------------

    def collections(self, count: int, shards: int = 1, prefix: str = "c", first: int = 0,
                    age_s: float = 0) -> list[Written]:
        """That many, created age_s ago, their shards dealt out over the channels from channel `first` on."""
        made, created = [], age_s and self.ts(time.time_ns() - int(age_s * 1e9))
        for n in range(count):
            channels = [self.pchannels[(first + n * shards + s) % len(self.pchannels)] for s in range(shards)]
            c = Written(next(self._ids), f"{prefix}{n}", created or self.stamp(), next(self._ids), channels, [0] * shards)
            message = base(common_pb2.CreateCollection, c.created, 0) + text(3, c.name) + number(6, c.id)
            for s, channel in enumerate(channels):
                self.send(channel, message, lambda offset, c=c, s=s: c.starts.__setitem__(s, offset))
            made.append(c)
        self.flush()
        self.put({key: value for c in made for key, value in self._keys(c).items()})
        return made

    def _keys(self, c: Written) -> dict[str, bytes]:
        vector = schema_pb2.FieldSchema(fieldID=101, name="v", data_type=schema_pb2.FloatVector)
        vector.type_params.add(key="dim", value=str(self.dim))
        return {f"partitions/{c.id}/{c.partition}":
                    number(1, c.partition) + text(2, "_default") + number(3, c.created) + number(4, c.id),
                f"fields/{c.id}/100": key_field(), f"fields/{c.id}/101": vector.SerializeToString(),
                f"database/collection-info/{DEFAULT_DB}/{c.id}": c.value()}

    def drop(self, collections: list[Written]) -> None:
        """As 2.3: the message on every channel, then the keys become tombstones."""
        with self._lock:
            for c in collections:
                message = base(common_pb2.DropCollection, self.stamp(), 0) + text(3, c.name) + number(5, c.id)
                for channel in c.pchannels:
                    self.send(channel, message)
        self.flush()
        self.put({key: TOMBSTONE for c in collections for key in self._keys(c)})

    # rows ----------------------------------------------------------------------------------------

    def insert(self, c: Written, rows: int, shard: int = 0, at: int = 0) -> int:
        """One message of rows, of now or of another time; its size."""
        if rows not in self._bodies:
            self._bodies[rows] = [self._body(rows, seed) for seed in range(BODIES)]
        with self._lock:  # no tick between its time and its place
            at = at or self.stamp()
            id_ = next(self._ids)
            body = self._bodies[rows][id_ % BODIES]
            message = b"".join((
                base(common_pb2.Insert, at, id_), text(2, c.vchannel(shard)), text(4, c.name), text(5, "_default"),
                number(7, c.id), number(8, c.partition), text(10, varint(at) * rows), text(11, varint(id_) * rows), body))
            self.send(c.pchannels[shard], message)
        return len(message)

    def _body(self, rows: int, seed: int) -> bytes:
        keys = schema_pb2.FieldData(type=schema_pb2.Int64, field_name="id", field_id=100)
        keys.scalars.long_data.data.extend(range(seed * rows, (seed + 1) * rows))
        floats = numpy.random.default_rng(seed).random(rows * self.dim, dtype=numpy.float32).tobytes()
        vectors = number(1, schema_pb2.FloatVector) + text(2, "v") + number(5, 101)
        vectors += text(4, number(1, self.dim) + text(2, text(1, floats)))
        return text(13, keys.SerializeToString()) + text(13, vectors) + number(14, rows) + number(15, 1)

    def history(self, c: Written, messages: int, rows: int, seconds: float) -> int:
        """Rows as if written over the last seconds, with ticks of then between them, and none later on c's
        channels; bytes."""
        now, total = time.time_ns(), 0
        ticks = max(int(seconds * 1000 / TICK_MS), 1)
        for n in range(ticks):
            at = now - int((ticks - n) * TICK_MS * 1e6)
            for m in range(messages * n // ticks, messages * (n + 1) // ticks):
                total += self.insert(c, rows, m % len(c.pchannels), self.ts(at - 1000000))
            for channel in set(c.pchannels):
                self.send(channel, self.tick_message(self.ts(at)))
        self.flush()
        return total
