"""A hand-driven replication: messages built from rows and sent by ReplicateMessage.

With it a test decides every stamp, id and tick itself, which is how facts about the target are found.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import struct
import threading
import time

from pymilvus import Collection
from pymilvus.grpc_gen import common_pb2, milvus_pb2, msg_pb2, schema_pb2

from helpers import count, fresh, wait_until

_message_ids = itertools.count(int(time.time()) << 20)


def stamp(milvus, seconds: float = 0) -> int:
    """That server's own hybrid time of now plus seconds.

    Not the wall clock: the server's is up to 50 ms behind it, and a Strong read, which happens at
    the server's time, does not see rows stamped above that.
    """
    stub, metadata = milvus.stub()
    answer = stub.AllocTimestamp(milvus_pb2.AllocTimestampRequest(), timeout=10, metadata=metadata)
    return answer.timestamp + (int(seconds * 1000) << 18)


def offset(position: str) -> int:
    """The Kafka offset in a position that ReplicateMessage answered."""
    return struct.unpack("<q", base64.b64decode(position))[0]


def replicated(msg_type: int = 0, at: int = 0) -> common_pb2.MsgBase:
    """The base that marks a request as coming from a replication."""
    info = common_pb2.ReplicateInfo(isReplicate=True, msgTimestamp=at)
    return common_pb2.MsgBase(msg_type=msg_type, replicateInfo=info)


def tick(at: int) -> bytes:
    base = common_pb2.MsgBase(msg_type=common_pb2.TimeTick, timestamp=at)
    return msg_pb2.TimeTickMsg(base=base).SerializeToString()


def send(target, channel: str, *messages: bytes, begin: int = 0, end: int = 0):
    """One ReplicateMessage; the answer as it is."""
    stub, metadata = target.stub()
    request = milvus_pb2.ReplicateMessageRequest(base=replicated(), channel_name=channel, BeginTs=begin,
                                                 EndTs=end, Msgs=messages)
    return stub.ReplicateMessage(request, timeout=30, metadata=metadata)


def refused(status) -> str:
    """Why a call was refused; empty when it was not."""
    return f"{status.code}: {status.reason}" if status.code or status.error_code else ""


def tick_all(target) -> None:
    """Ticks every channel at the target's time of now. Its data node waits for the first tick of each channel that it
    is to follow, and with that for all channels behind it: one that nobody ticks keeps flushes and loads waiting."""
    now = stamp(target)
    for number in range(target.options["dml_channels"]):
        send(target, f"{target.name}-rootcoord-dml_{number}", tick(now), begin=now, end=now)


class Replica:
    """A collection of a key and a vector on the target, written by messages only."""

    dim = 4

    def __init__(self, target, varchar_pk: bool = False, created: int = 0):
        self.target, self.name, self.varchar = target, fresh("fact"), varchar_pk
        self.created = created or stamp(target, -60)
        self._call("CreateCollection", milvus_pb2.CreateCollectionRequest(
            base=replicated(common_pb2.CreateCollection, self.created), db_name="default",
            collection_name=self.name, schema=self._schema().SerializeToString(), shards_num=1))
        described = self.describe()
        self.id, self.shard = described.collectionID, described.virtual_channel_names[0]
        self.channel = described.physical_channel_names[0]
        self.partition = self._call("ShowPartitions", milvus_pb2.ShowPartitionsRequest(
            collection_name=self.name)).partitionIDs[0]
        self.collection = Collection(self.name, using=target.connect())

    def _call(self, method: str, request):
        stub, metadata = self.target.stub()
        answer = getattr(stub, method)(request, timeout=30, metadata=metadata)
        assert not refused(getattr(answer, "status", answer)), answer
        return answer

    def _schema(self) -> schema_pb2.CollectionSchema:
        key = schema_pb2.FieldSchema(name="id", is_primary_key=True, data_type=schema_pb2.Int64)
        if self.varchar:
            key.data_type = schema_pb2.VarChar
            key.type_params.append(common_pb2.KeyValuePair(key="max_length", value="100"))
        vector = schema_pb2.FieldSchema(name="v", data_type=schema_pb2.FloatVector)
        vector.type_params.append(common_pb2.KeyValuePair(key="dim", value=str(self.dim)))
        return schema_pb2.CollectionSchema(name=self.name, fields=[key, vector])

    def describe(self):
        return self._call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=self.name))

    def now(self) -> int:
        return stamp(self.target)

    # messages ------------------------------------------------------------------------------------

    def _base(self, msg_type: int, at: int, message_id: int) -> common_pb2.MsgBase:
        return common_pb2.MsgBase(msg_type=msg_type, msgID=message_id or next(_message_ids), timestamp=at)

    def insert(self, rows: dict, at: int, message_id: int = 0) -> bytes:
        """An insert of {key: number}; the number fills the vector, so copies can be told apart."""
        keys = schema_pb2.FieldData(field_name="id", field_id=100)
        if self.varchar:
            keys.type = schema_pb2.VarChar
            keys.scalars.string_data.data.extend(rows)
        else:
            keys.type = schema_pb2.Int64
            keys.scalars.long_data.data.extend(rows)
        vectors = schema_pb2.FieldData(field_name="v", field_id=101, type=schema_pb2.FloatVector)
        vectors.vectors.dim = self.dim
        vectors.vectors.float_vector.data.extend(float(n) for n in rows.values() for _ in range(self.dim))
        return msg_pb2.InsertRequest(
            base=self._base(common_pb2.Insert, at, message_id), shardName=self.shard, db_name="default",
            collection_name=self.name, partition_name="_default", collectionID=self.id,
            partitionID=self.partition, timestamps=[at] * len(rows),
            rowIDs=[next(_message_ids) for _ in rows], fields_data=[keys, vectors], num_rows=len(rows),
            version=msg_pb2.ColumnBased).SerializeToString()

    def delete(self, keys: list, at: int, message_id: int = 0) -> bytes:
        request = msg_pb2.DeleteRequest(
            base=self._base(common_pb2.Delete, at, message_id), shardName=self.shard, db_name="default",
            collection_name=self.name, partition_name="_default", collectionID=self.id,
            partitionID=self.partition, timestamps=[at] * len(keys), num_rows=len(keys))
        if self.varchar:
            request.primary_keys.str_id.data.extend(keys)
        else:
            request.primary_keys.int_id.data.extend(keys)
        return request.SerializeToString()

    def send(self, *messages: bytes) -> str:
        """Sends to the collection's channel; returns the position."""
        answer = send(self.target, self.channel, *messages)
        assert not refused(answer.status), answer
        return answer.position

    def tick(self, at: int = 0) -> str:
        return self.send(tick(at or self.now()))

    # the collection ------------------------------------------------------------------------------

    def start_load(self) -> None:
        """Asks for the load and returns at once."""
        self.collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
        self._call("LoadCollection", milvus_pb2.LoadCollectionRequest(
            base=replicated(common_pb2.LoadCollection, self.now()), collection_name=self.name))

    def progress(self) -> int:
        return self._call("GetLoadingProgress", milvus_pb2.GetLoadingProgressRequest(
            collection_name=self.name)).progress

    def loaded(self) -> bool:
        """Ticks, and tells whether the load has ended."""
        self.tick()
        return self.progress() == 100

    def load(self) -> "Replica":
        self.start_load()
        wait_until(self.loaded, 60, f"{self.name} is loaded", pause=0.2)
        return self

    def rows(self) -> dict:
        """{key: number} of what is visible now."""
        answer = self.collection.query('id >= ""' if self.varchar else "id >= 0", output_fields=["id", "v"],
                                       consistency_level="Eventually", timeout=10)
        return {row["id"]: round(float(row["v"][0])) for row in answer}

    @contextlib.contextmanager
    def ticking(self):
        """Ticks meanwhile, as a running replication does; a Strong read and a flush wait for that."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(0.1):
                self.tick()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def seen(self) -> tuple[dict, int]:
        """What is there when all that was sent is visible: the rows, and their physical number."""
        with self.ticking():
            physical = count(self.collection, timeout=20)  # Strong
            return self.rows(), physical

    def reload(self) -> None:
        """Flushes, releases and loads: what is seen afterwards was persisted."""
        stub, metadata = self.target.stub()
        flush = milvus_pb2.FlushRequest(base=replicated(common_pb2.Flush, self.now()),
                                        collection_names=[self.name])
        with self.ticking():
            segments = stub.Flush(flush, timeout=30, metadata=metadata).coll_segIDs[self.name].data
            state = milvus_pb2.GetFlushStateRequest(segmentIDs=segments)
            wait_until(lambda: stub.GetFlushState(state, timeout=5, metadata=metadata).flushed, 60,
                       f"{self.name} is flushed", pause=0.2)
        self.collection.release()
        self.load()

    def compact(self) -> int:
        """Merges segments and applies deletes to them; how many plans that took."""
        stub, metadata = self.target.stub()
        asked = milvus_pb2.ManualCompactionRequest(collectionID=self.id)
        answer = stub.ManualCompaction(asked, timeout=10, metadata=metadata)
        assert not refused(answer.status), answer
        state = milvus_pb2.GetCompactionStateRequest(compactionID=answer.compactionID)
        with self.ticking():
            wait_until(lambda: stub.GetCompactionState(state, timeout=5, metadata=metadata).state ==
                       common_pb2.Completed, 60, f"{self.name} is compacted", pause=0.2)
        return answer.compactionPlanCount

    def drop(self) -> None:
        """Both halves: the call, and the message with a tick, without which the DataNode never lets
        go of the channel and the next flush of any collection hangs."""
        at = self.now()
        self._call("DropCollection", milvus_pb2.DropCollectionRequest(
            base=replicated(common_pb2.DropCollection, at), collection_name=self.name))
        message = msg_pb2.DropCollectionRequest(
            base=self._base(common_pb2.DropCollection, at, 0), db_name="default",
            collectionName=self.name, collectionID=self.id)
        self.send(message.SerializeToString(), tick(at))
