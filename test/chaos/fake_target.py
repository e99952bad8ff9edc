"""A target that stands in for a Milvus where thousands of collections and odd rows would only cost time.

It keeps collections, partitions and databases, takes ReplicateMessage, and shows every call to a
`check.Checker`. What a real target makes of rows is not played: that is what the real ones are for.
"""

from __future__ import annotations

import base64
import itertools
import threading
import time
from concurrent import futures

import grpc
from google.protobuf.message import DecodeError
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from .check import OK, Checker

CHANNELS = 16
NOT_FOUND, DB_NOT_FOUND = 100, 800


def status(code: int = 0, reason: str = "") -> common_pb2.Status:
    return common_pb2.Status(code=code, error_code=1 if code else 0, reason=reason)


class FakeTarget(milvus_pb2_grpc.MilvusServiceServicer):
    """with FakeTarget() as target: cdc.create(target, ...)."""

    token, dial_config = "", {}

    def __init__(self, name: str = "fake"):
        self.name, self.checker = name, Checker()
        self.lock = threading.RLock()
        self.collections: dict[tuple[str, str], dict] = {}
        self.databases = {"default": 1}
        self.ids = itertools.count(1000)
        self.rows: dict[str, set] = {}  # keys seen by collection
        self.messages = itertools.count(1)
        self.calls = 0
        self.server = grpc.server(futures.ThreadPoolExecutor(24), options=[("grpc.so_reuseport", 0)])
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> "FakeTarget":
        self.server.start()
        return self

    def __exit__(self, *_exc) -> None:
        self.server.stop(0)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @staticmethod
    def now() -> int:
        return int(time.time() * 1000) << 18

    # what is there -------------------------------------------------------------------------------

    def _key(self, request, context) -> tuple[str, str]:
        database = getattr(request, "db_name", "") or dict(context.invocation_metadata()).get("dbname", "")
        return database or "default", request.collection_name

    def Connect(self, request, context):
        return milvus_pb2.ConnectResponse(status=status(), identifier=self.now(),
                                          server_info=common_pb2.ServerInfo(build_tags="v2.3.5"))

    def GetVersion(self, request, context):
        return milvus_pb2.GetVersionResponse(status=status(), version="v2.3.5")

    def AllocTimestamp(self, request, context):
        return milvus_pb2.AllocTimestampResponse(status=status(), timestamp=self.now())

    def ListDatabases(self, request, context):
        return milvus_pb2.ListDatabasesResponse(status=status(), db_names=list(self.databases))

    def CreateDatabase(self, request, context):
        self.databases[request.db_name] = next(self.ids)
        return status()

    def DropDatabase(self, request, context):
        self.databases.pop(request.db_name, None)
        return status()

    def ShowCollections(self, request, context):
        names = [name for _db, name in self.collections]
        return milvus_pb2.ShowCollectionsResponse(status=status(), collection_names=names)

    def CreateCollection(self, request, context):
        with self.lock:
            key = self._key(request, context)
            if key not in self.collections:
                number = next(self.ids)
                shards = [f"{self.name}-rootcoord-dml_{(number + n) % CHANNELS}" for n in range(request.shards_num or 1)]
                self.collections[key] = {
                    "id": number, "schema": request.schema, "pchannels": shards,
                    "created": request.base.replicateInfo.msgTimestamp or self.now(),
                    "consistency": request.consistency_level, "properties": list(request.properties),
                    "vchannels": [f"{c}_{number}v{n}" for n, c in enumerate(shards)],
                    "partitions": {"_default": next(self.ids)}}
        return status()

    def DescribeCollection(self, request, context):
        found = self.collections.get(self._key(request, context))
        if not found:
            return milvus_pb2.DescribeCollectionResponse(
                status=status(NOT_FOUND, f"collection not found[collection={request.collection_name}]"))
        return milvus_pb2.DescribeCollectionResponse(
            status=status(), schema=schema_pb2.CollectionSchema.FromString(found["schema"]),
            collectionID=found["id"], virtual_channel_names=found["vchannels"],
            physical_channel_names=found["pchannels"], created_timestamp=found["created"],
            shards_num=len(found["pchannels"]), consistency_level=found["consistency"],
            collection_name=request.collection_name, properties=found["properties"],
            num_partitions=len(found["partitions"]))

    def ShowPartitions(self, request, context):
        found = self.collections.get(self._key(request, context))
        if not found:
            return milvus_pb2.ShowPartitionsResponse(status=status(NOT_FOUND, "collection not found"))
        parts = found["partitions"]
        return milvus_pb2.ShowPartitionsResponse(status=status(), partition_names=list(parts),
                                                 partitionIDs=list(parts.values()))

    def CreatePartition(self, request, context):
        found = self.collections.get(self._key(request, context))
        if found:
            found["partitions"].setdefault(request.partition_name, next(self.ids))
        return status(0 if found else NOT_FOUND)

    def DropPartition(self, request, context):
        found = self.collections.get(self._key(request, context))
        if found:
            found["partitions"].pop(request.partition_name, None)
        return status()

    def DropCollection(self, request, context):
        with self.lock:
            self.collections.pop(self._key(request, context), None)
        return status()

    # what is written -----------------------------------------------------------------------------

    def ReplicateMessage(self, request, context):
        self.calls += 1
        if request.Msgs:
            with self.lock:
                try:
                    call = self.checker.sent(request.channel_name, request)
                except DecodeError as error:  # as a real one answers; it has appended nothing
                    return milvus_pb2.ReplicateMessageResponse(status=status(65535, str(error)))
                for message in call.messages:
                    if message.type == common_pb2.Insert:
                        self.rows.setdefault(message.collection, set()).update(message.keys)
                self.checker.answered(call, OK)
        position = base64.b64encode(next(self.messages).to_bytes(8, "little")).decode()
        return milvus_pb2.ReplicateMessageResponse(status=status(), position=position)

    def seen(self, collection: str, database: str = "default") -> set:
        """Keys that were inserted there."""
        return self.rows.get(f"{database}/{collection}", set())


def _fine(kind):
    def answer(_self, request, context):
        return kind
    return answer


for _name in ("CreateIndex", "DropIndex", "AlterIndex", "LoadCollection", "ReleaseCollection", "LoadPartitions",
              "ReleasePartitions", "AlterCollection", "CreateAlias", "DropAlias", "AlterAlias", "RenameCollection"):
    setattr(FakeTarget, _name, _fine(status()))
