"""Consumers of a Kafka target: they rebuild collections from nothing but the records of a topic.

`Rows` understands format debezium and needs no Milvus at all; `Envelopes` unpacks the messages of the
default format with Milvus' own protobuf classes. Both do what docs/kafka-target.md advises: they drop a
record whose cdc_id they have seen, and keep rows by collection id.
"""

from __future__ import annotations

import base64
import json
import struct

import numpy
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic
from pymilvus import Collection, DataType
from pymilvus.grpc_gen import common_pb2, milvus_pb2, msg_pb2, schema_pb2

from helpers import PAGE


def make_topic(broker, name: str, partitions: int = 1, **config) -> str:
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
    admin = broker.admin()  # its calls end with it
    for done in admin.create_topics([topic]).values():
        done.result(timeout=20)
    return name


class Reader:
    """All records of a topic, from its beginning to its present ends. A subclass applies them."""

    def __init__(self, broker, topic: str):
        self.consumer = Consumer({"bootstrap.servers": broker.address, "group.id": f"r-{topic}",
                                  "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        found = self.consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self.places = {p: 0 for p in found}
        self.topic = topic
        self.seen: set[str] = set()
        self.repeats: list = []   # records that were seen before
        self.records: list = []   # all others, in the order of their partition
        self.lanes: dict[str, set] = {}  # vchannel -> partitions
        self.rows: dict[int, dict] = {}  # collection id -> key -> row
        self.names: dict[int, tuple[str, str]] = {}
        self.events: list[tuple[str, dict]] = []
        self.order: dict[str, int] = {}  # vchannel -> time of its last record

    def close(self) -> None:
        self.consumer.close()

    def read(self) -> "Reader":
        for partition, place in self.places.items():
            _, end = self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=20)
            if place >= end:
                continue
            self.consumer.assign([TopicPartition(self.topic, partition, place)])
            while self.places[partition] < end:
                record = self.consumer.poll(20)
                assert record is not None and not record.error(), record and record.error()
                self.places[partition] = record.offset() + 1
                self._take(record)
        return self

    def _take(self, record) -> None:
        headers = {name: value.decode() for name, value in record.headers()}
        if headers["cdc_id"] in self.seen:
            self.repeats.append((record, headers))
            return
        self.seen.add(headers["cdc_id"])
        self.records.append((record, headers))
        channel = headers.get("cdc_vchannel")
        if channel:
            self.lanes.setdefault(channel, set()).add(record.partition())
            assert int(headers["cdc_ts"]) >= self.order.get(channel, 0), "a vchannel goes back in time"
            self.order[channel] = int(headers["cdc_ts"])
        self.apply(json.loads(record.value()), headers)

    def id_of(self, name: str, db: str = "default") -> int:
        """The newest collection of that name."""
        return max((i for i, n in self.names.items() if n == (db, name)), default=0)

    def of(self, name: str, db: str = "default") -> dict:
        return self.rows.get(self.id_of(name, db), {})

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def told(self, kind: str, names) -> int:
        """How many events of that kind name one of the names; the topic may tell of other collections, too."""
        return sum(found == kind and any(f'"{name}"' in json.dumps(data) for name in names)
                   for found, data in self.events)


class Rows(Reader):
    """Format debezium."""

    def apply(self, event: dict, headers: dict) -> None:
        source = event["source"]
        if event["op"] == "ddl":
            self.events.append((event["kind"], event))
            return
        self.names[source["collection_id"]] = (source["db"], source["collection"])
        rows = self.rows.setdefault(source["collection_id"], {})
        if event["op"] == "c":
            assert event["before"] is None
            row = event["after"]
            row.update(json.loads(row.pop("$meta", "{}")))
            rows[self.key(event["after"], source)] = row
        else:
            assert event["op"] == "d" and event["after"] is None
            rows.pop(self.key(event["before"], source), None)

    def key(self, row: dict, source: dict):
        return row["id"]


class Envelopes(Reader):
    """The default format."""

    def apply(self, envelope: dict, headers: dict) -> None:
        data = json.loads(envelope["data"])
        if envelope["info"] != "replicate message":
            self.events.append((envelope["info"], data))
            return
        for raw in map(base64.b64decode, data["MsgsBytes"]):
            kind = milvus_pb2.FlushRequest.FromString(raw).base.msg_type  # only its field 1 is read
            if kind == common_pb2.Insert:
                self._insert(msg_pb2.InsertRequest.FromString(raw))
            elif kind == common_pb2.Delete:
                self._delete(msg_pb2.DeleteRequest.FromString(raw))
            elif kind == common_pb2.DropCollection:
                self.events.append(("drop message", data))

    def _insert(self, m) -> None:
        self.names[m.collectionID] = (m.db_name, m.collection_name)
        rows = self.rows.setdefault(m.collectionID, {})
        for i in range(m.num_rows):
            row = {}
            for field in m.fields_data:
                value = _value(field, i)
                row.update(value) if field.is_dynamic else row.__setitem__(field.field_name, value)
            rows[row["id"]] = row

    def _delete(self, m) -> None:
        ids = m.primary_keys
        for key in ids.str_id.data or ids.int_id.data:
            self.rows.get(m.collectionID, {}).pop(key, None)


def _value(field, i: int):
    kind = field.type
    if kind == schema_pb2.FloatVector:
        dim = field.vectors.dim
        return list(field.vectors.float_vector.data[i * dim:(i + 1) * dim])
    if kind == schema_pb2.BinaryVector:
        size = field.vectors.dim // 8
        return base64.b64encode(field.vectors.binary_vector[i * size:(i + 1) * size]).decode()
    scalars = getattr(field.scalars, field.scalars.WhichOneof("data"))
    if kind == schema_pb2.Array:
        return list(getattr(scalars.data[i], scalars.data[i].WhichOneof("data") or "int_data").data)
    if kind == schema_pb2.JSON:
        text = scalars.data[i].decode()
        return json.loads(text) if field.is_dynamic else text
    return scalars.data[i]


# comparing with the source -----------------------------------------------------------------------

def _bits(value, single: bool):
    if isinstance(value, (list, tuple)):
        return [_bits(v, single) for v in value]
    if isinstance(value, float) or isinstance(value, numpy.floating):
        return struct.pack("<f", value).hex() if single else struct.pack("<d", value).hex()
    return value


def _alike(collection: Collection, row: dict) -> dict:
    """One form for the rows of a query and of both formats; equal means equal bits."""
    row, out = dict(row), {}
    for field in collection.schema.fields:
        value = row.pop(field.name)
        if field.dtype in (DataType.FLOAT, DataType.DOUBLE):
            value = float(value)
        if field.dtype == DataType.BINARY_VECTOR and not isinstance(value, str):
            value = base64.b64encode(value[0] if isinstance(value, list) else value).decode()
        if field.dtype == DataType.JSON and isinstance(value, (str, bytes)):
            value = json.loads(value)
        if field.dtype == DataType.FLOAT_VECTOR or (
                field.dtype == DataType.ARRAY and field.element_type in (DataType.FLOAT, DataType.DOUBLE)):
            value = [float(v) for v in value]
        elif field.dtype == DataType.ARRAY:
            value = list(value)
        single = field.dtype in (DataType.FLOAT, DataType.FLOAT_VECTOR)
        out[field.name] = _bits(value, single) if field.dtype != DataType.JSON else value
    return out | row  # the dynamic ones


def source_rows(collection: Collection) -> dict:
    """Every row of the source by key, in the common form."""
    pk, rows = collection.schema.primary_field, {}
    text = pk.dtype == DataType.VARCHAR
    expr = 'id >= ""' if text else f"id >= {-2**63 + 1}"
    while True:
        page = collection.query(expr, output_fields=["*"], limit=PAGE, consistency_level="Strong", timeout=30)
        rows.update({row["id"]: _alike(collection, row) for row in page})
        if len(page) < PAGE:
            return rows
        last = max(row["id"] for row in page)
        expr = f"id > {json.dumps(last, ensure_ascii=False) if text else last}"


def difference(collection: Collection, copy: dict) -> str:
    """Why a rebuilt collection is not the source's; empty when it is."""
    left, right = source_rows(collection), {key: _alike(collection, row) for key, row in copy.items()}
    lines = [f"only on one side: {sorted(left.keys() ^ right.keys())[:5]}"] if left.keys() ^ right.keys() else []
    for key in [k for k in left.keys() & right.keys() if left[k] != right[k]][:3]:
        for name in left[key].keys() | right[key].keys():
            if left[key].get(name) != right[key].get(name):
                lines.append(f"{key!r}.{name}: source {left[key].get(name)!r}, topic {right[key].get(name)!r}")
    return "\n".join([f"{len(left)} rows on the source, {len(right)} rebuilt", *lines]) if lines else ""
