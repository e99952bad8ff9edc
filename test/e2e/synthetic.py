"""A source Milvus that does not exist: its etcd keys and its topics, written by the test.

What a release writes that is not installed here is written by hand: etcd values field by field, messages with
the classes of pymilvus, headers and key styles as that release has them.

    source = Synthetic(rig, headers="full", drops="delete")      # as 2.5 and later
    c = source.collection("c", shards=1)
    with source.ticking():
        c.insert(range(10))
        c.drop()
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time

from pymilvus.grpc_gen import common_pb2, milvus_pb2, msg_pb2, schema_pb2

TOMBSTONE = b"\xe2\x9b\xbc"
DIM = 8
DEFAULT_DB = 1


# protobuf by hand ---------------------------------------------------------------------------------

def varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def text(field: int, value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


class Synthetic:
    """headers: none (2.3), type (2.4: msg_type alone), full (2.5: all five).
    drops: tombstone (until 2.5) or delete (later: the key goes, and a collection's is written once, last).
    """

    def __init__(self, rig, headers: str = "full", drops: str = "delete", name: str = ""):
        from confluent_kafka import Producer

        self.name = name or f"syn{random.randrange(10**9)}"
        self.headers, self.drops = headers, drops
        self.etcd, self.kafka = rig.part("etcd"), rig.part("kafka")
        self.replicate_channel = f"{self.name}-replicate-msg"
        self._ids = itertools.count(self.now())
        self._last = 0
        self._lock = threading.RLock()
        self._producer = Producer({"bootstrap.servers": self.kafka.address, "compression.type": "zstd",
                                   "linger.ms": 1})
        self.channels: set[str] = set()
        self.etcd.put(f"{self.name}/kv/gid/timestamp", (time.time_ns() + 3 * 10**9).to_bytes(8, "big"))
        self.database("default", DEFAULT_DB)
        self.send(self.replicate_channel, self.tick_message(self.stamp()))

    def config(self) -> dict:
        """What a server under test needs to read it, for new_cdc."""
        # its topics are on Kafka, whatever the real source of the run writes to
        return {"sourceConfig": {"etcd": {"address": [self.etcd.address], "rootPath": self.name},
                                 "kafka": {"address": self.kafka.address}, "pulsar": {"address": ""},
                                 "replicateChan": self.replicate_channel}}

    # time and ids --------------------------------------------------------------------------------

    @staticmethod
    def now() -> int:
        return int(time.time() * 1000) << 18

    def stamp(self) -> int:
        """A time of this source; they only grow."""
        with self._lock:
            self._last = max(self._last + 1, self.now())
            return self._last

    def id(self) -> int:
        return next(self._ids)

    # etcd ----------------------------------------------------------------------------------------

    def put(self, tail: str, value: bytes) -> None:
        self.etcd.put(f"{self.name}/meta/root-coord/{tail}", value)

    def gone(self, tail: str) -> None:
        """Whatever this release does to a key of what was dropped."""
        if self.drops == "tombstone":
            self.put(tail, TOMBSTONE)
        else:
            key = f"{self.name}/meta/root-coord/{tail}"
            self.etcd.call("kv/deleterange", {"key": self.etcd._range(key)["key"]})

    def database(self, name: str, number_: int = 0) -> int:
        number_ = number_ or self.id()
        self.put(f"database/db-info/{number_}",
                 text(2, name) + number(3, number_) + number(4, 1) + number(5, self.stamp()))
        return number_

    def drop_database(self, number_: int) -> None:
        self.gone(f"database/db-info/{number_}")

    def collection(self, name: str, shards: int = 1, db: tuple[str, int] = ("default", DEFAULT_DB),
                   extra_fields: tuple = (), properties: dict | None = None) -> "SyntheticCollection":
        return SyntheticCollection(self, name, shards, db, extra_fields, properties or {})

    # topics --------------------------------------------------------------------------------------

    def send(self, topic: str, payload: bytes, headers: dict | None = None) -> int:
        """Appends a message; its offset."""
        done: list = []
        with self._lock:
            self._producer.produce(topic, payload, partition=0, headers=headers or {},
                                   on_delivery=lambda error, m: done.append(error or m.offset()))
            assert self._producer.flush(20) == 0 and isinstance(done[0], int), done
        return done[0]

    def properties(self, base, vchannel: str = "", collection: int = 0) -> dict:
        kind = common_pb2.MsgType.Name(base.msg_type)
        if self.headers == "none":
            return {}
        if self.headers == "type":
            return {"msg_type": kind}
        return {"vchannel": vchannel, "msg_type": kind, "msg_id": str(base.msgID), "timestamp": str(base.timestamp),
                "collection_id": str(collection)}

    def tick_message(self, at: int) -> bytes:
        base = common_pb2.MsgBase(msg_type=common_pb2.TimeTick, timestamp=at, sourceID=1)
        return msg_pb2.TimeTickMsg(base=base).SerializeToString()

    def tick(self) -> None:
        """One on every channel; nothing at or below it comes after it."""
        with self._lock:
            at = self.stamp()
            base = common_pb2.MsgBase(msg_type=common_pb2.TimeTick, timestamp=at, sourceID=1)
            for channel in sorted(self.channels):
                self.send(channel, self.tick_message(at), self.properties(base))

    @contextlib.contextmanager
    def ticking(self):
        """As rootcoord does, every 200 ms."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(0.2):
                self.tick()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def operation(self, msg_type: int, request) -> None:
        """A request in the replicate channel, as the proxy writes it after it succeeded."""
        at = self.stamp()
        request.base.CopyFrom(common_pb2.MsgBase(msg_type=msg_type, msgID=at, timestamp=at, sourceID=1))
        self.send(self.replicate_channel, request.SerializeToString(), self.properties(request.base))


class SyntheticCollection:
    """An int64 key `id` and a vector `v`; extra_fields are raw FieldSchema bytes by id."""

    def __init__(self, source: Synthetic, name: str, shards: int, db: tuple[str, int], extra_fields, properties):
        self.source, self.name, self.db = source, name, db
        self.id, self.created = source.id(), source.stamp()
        self.partitions: dict[str, int] = {}
        self.pchannels = [f"{source.name}-rootcoord-dml_{n}" for n in range(shards)]
        self.vchannels = [f"{channel}_{self.id}v{n}" for n, channel in enumerate(self.pchannels)]
        source.channels.update(self.pchannels)
        create = msg_pb2.CreateCollectionRequest(
            base=common_pb2.MsgBase(msg_type=common_pb2.CreateCollection, timestamp=self.created, sourceID=1),
            collectionName=name, collectionID=self.id)
        headers = source.properties(create.base, "", self.id)
        starts = [source.send(channel, create.SerializeToString(), headers) for channel in self.pchannels]
        self.fields = {100: key_field(), 101: vector_field(), **dict(extra_fields)}
        self._value = self._collection_value(starts, properties)
        self._write()

    @property
    def key(self) -> str:
        return f"database/collection-info/{self.db[1]}/{self.id}"

    def _collection_value(self, starts: list[int], properties: dict) -> bytes:
        value = number(1, self.id) + text(2, text(1, self.name)) + number(3, self.created)
        value += b"".join(text(7, v) for v in self.vchannels) + b"".join(text(8, p) for p in self.pchannels)
        value += number(10, len(self.pchannels))
        value += b"".join(text(11, text(1, p) + text(2, offset.to_bytes(8, "little")))
                          for p, offset in zip(self.pchannels, starts))
        value += number(12, 2) + b"".join(text(14, text(1, k) + text(2, v)) for k, v in properties.items())
        return value + number(15, self.db[1])

    def _write(self) -> None:
        """Until 2.5 the collection's key comes first, as Creating; later releases write it once, at the end."""
        if self.source.drops == "tombstone":
            self.source.put(self.key, self._value + number(13, 1))
        self.partition("_default", message=False)
        for number_, value in self.fields.items():
            self.source.put(f"fields/{self.id}/{number_}", value)
        self.source.put(self.key, self._value)

    def partition(self, name: str, message: bool = True) -> int:
        id_, at = self.source.id(), self.source.stamp()
        self.partitions[name] = id_
        value = number(1, id_) + text(2, name) + number(3, at) + number(4, self.id)
        if message:
            self.source.put(f"partitions/{self.id}/{id_}", value + number(5, 1))
            request = msg_pb2.CreatePartitionRequest(
                base=common_pb2.MsgBase(msg_type=common_pb2.CreatePartition, timestamp=at, sourceID=1),
                collection_name=self.name, partition_name=name, collectionID=self.id, partitionID=id_)
            self._to_all(request)
        self.source.put(f"partitions/{self.id}/{id_}", value)
        return id_

    def _to_all(self, request) -> None:
        headers = self.source.properties(request.base, "", self.id)
        for channel in self.pchannels:
            self.source.send(channel, request.SerializeToString(), headers)

    # rows ----------------------------------------------------------------------------------------

    def _shard(self, request, shard: int) -> None:
        request.shardName = self.vchannels[shard]
        self.source.send(self.pchannels[shard], request.SerializeToString(),
                         self.source.properties(request.base, self.vchannels[shard], self.id))

    def _base(self, msg_type: int, at: int) -> common_pb2.MsgBase:
        return common_pb2.MsgBase(msg_type=msg_type, msgID=self.source.id(), timestamp=at, sourceID=1)

    def insert(self, keys, partition: str = "_default", shard: int = 0, fill: float = 1.0) -> None:
        """Rows whose vectors hold fill."""
        keys = list(keys)
        with self.source._lock:  # no tick between its time and its place
            at = self.source.stamp()
            ids = schema_pb2.FieldData(type=schema_pb2.Int64, field_name="id", field_id=100)
            ids.scalars.long_data.data.extend(keys)
            vectors = schema_pb2.FieldData(type=schema_pb2.FloatVector, field_name="v", field_id=101)
            vectors.vectors.dim = DIM
            vectors.vectors.float_vector.data.extend([fill] * DIM * len(keys))
            self._shard(msg_pb2.InsertRequest(
                base=self._base(common_pb2.Insert, at), collection_name=self.name, partition_name=partition,
                collectionID=self.id, partitionID=self.partitions[partition], timestamps=[at] * len(keys),
                rowIDs=[self.source.id() for _ in keys], fields_data=[ids, vectors], num_rows=len(keys),
                version=msg_pb2.ColumnBased), shard)

    def delete(self, keys, shard: int = 0) -> None:
        keys = list(keys)
        with self.source._lock:
            at = self.source.stamp()
            request = msg_pb2.DeleteRequest(
                base=self._base(common_pb2.Delete, at), collection_name=self.name, collectionID=self.id,
                partitionID=-1, timestamps=[at] * len(keys), num_rows=len(keys))
            request.primary_keys.int_id.data.extend(keys)
            self._shard(request, shard)

    # drops ---------------------------------------------------------------------------------------

    def drop_partition(self, name: str) -> None:
        id_, at = self.partitions.pop(name), self.source.stamp()
        if self.source.drops == "tombstone":
            self.source.put(f"partitions/{self.id}/{id_}",
                            number(1, id_) + text(2, name) + number(4, self.id) + number(5, 2))
        self._to_all(msg_pb2.DropPartitionRequest(
            base=common_pb2.MsgBase(msg_type=common_pb2.DropPartition, timestamp=at, sourceID=1),
            collection_name=self.name, partition_name=name, collectionID=self.id, partitionID=id_))
        self.source.gone(f"partitions/{self.id}/{id_}")

    def drop(self) -> None:
        """The message on every channel, then its keys go: partitions, fields, itself."""
        if self.source.drops == "tombstone":
            self.source.put(self.key, self._value + number(13, 2))
        with self.source._lock:
            at = self.source.stamp()
            self._to_all(msg_pb2.DropCollectionRequest(
                base=common_pb2.MsgBase(msg_type=common_pb2.DropCollection, timestamp=at, sourceID=1),
                collectionName=self.name, collectionID=self.id))
        for id_ in self.partitions.values():
            self.source.gone(f"partitions/{self.id}/{id_}")
        for number_ in self.fields:
            self.source.gone(f"fields/{self.id}/{number_}")
        self.source.gone(self.key)

    # operations ----------------------------------------------------------------------------------

    def load(self) -> None:
        """An index and a load through the replicate channel."""
        index = milvus_pb2.CreateIndexRequest(db_name=self.db[0], collection_name=self.name, field_name="v",
                                              index_name="v")
        for key, value in (("index_type", "FLAT"), ("metric_type", "L2"), ("params", "{}")):
            index.extra_params.add(key=key, value=value)
        self.source.operation(common_pb2.CreateIndex, index)
        self.source.operation(common_pb2.LoadCollection, milvus_pb2.LoadCollectionRequest(
            db_name=self.db[0], collection_name=self.name, replica_number=1))


def key_field() -> bytes:
    return schema_pb2.FieldSchema(fieldID=100, name="id", is_primary_key=True,
                                  data_type=schema_pb2.Int64).SerializeToString()


def vector_field() -> bytes:
    field = schema_pb2.FieldSchema(fieldID=101, name="v", data_type=schema_pb2.FloatVector)
    field.type_params.add(key="dim", value=str(DIM))
    return field.SerializeToString()
