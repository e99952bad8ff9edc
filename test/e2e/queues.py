"""The queue of a Milvus, the same verbs whatever it is: what a test does to it by hand."""

from __future__ import annotations

from typing import Callable

from helpers import wait_until


class Queue:
    """part is the broker in the rig."""

    def __init__(self, part):
        self.part = part

    def topics(self) -> set[str]:
        raise NotImplementedError

    def end(self, topic: str) -> tuple:
        """A place that grows with every message."""
        raise NotImplementedError

    def forget(self, topic: str) -> None:
        """Deletes what is in the topic, as retention does some day; without consumers that still need it."""
        raise NotImplementedError

    def send(self, topic: str, payload: bytes, properties: dict | None = None) -> None:
        """Writes one message as Milvus does; it is in the topic when this returns."""
        raise NotImplementedError


class KafkaQueue(Queue):
    def topics(self) -> set[str]:
        return self.part.topics()

    def end(self, topic: str) -> tuple:
        return (self.part.ends(topic)[1],)

    def send(self, topic: str, payload: bytes, properties: dict | None = None) -> None:
        from confluent_kafka import Producer

        failed: list = []
        producer = Producer({"bootstrap.servers": self.part.address, "compression.type": "zstd"})
        producer.produce(topic, payload, partition=0, headers=properties or {},
                         on_delivery=lambda error, _message: failed.append(error) if error else None)
        assert producer.flush(20) == 0 and not failed, failed


    def forget(self, topic: str) -> None:
        from confluent_kafka import TopicPartition

        admin = self.part.admin()  # it answers as long as it lives
        end = TopicPartition(topic, 0, self.part.ends(topic)[1])
        for done in admin.delete_records([end]).values():
            done.result(timeout=20)


class PulsarQueue(Queue):
    def topics(self) -> set[str]:
        return {name.rpartition("/")[2] for name in self.part.rest("persistent/public/default")}

    def end(self, topic: str) -> tuple:
        last = self.part.rest(f"persistent/public/default/{topic}/internalStats")["lastConfirmedEntry"]
        return tuple(int(n) for n in last.split(":"))

    def unload(self, topic: str) -> None:
        """Takes the topic from its broker, which drops all its consumers and serves it anew when asked."""
        self.part.rest(f"persistent/public/default/{topic}/unload", "PUT")

    def forget(self, topic: str) -> None:
        keep = self.part.rest("namespaces/public/default/retention")
        self._retention({"retentionTimeInMinutes": 0, "retentionSizeInMB": 0})
        try:
            before = self._ledgers(topic)
            self.unload(topic)  # the open ledger is never deleted
            wait_until(lambda: not before & self._ledgers(topic, trim=True), 30, f"{topic} has lost {before}")
        finally:
            self._retention(keep or {"retentionTimeInMinutes": 10080, "retentionSizeInMB": 8192})

    def _retention(self, policy: dict) -> None:
        self.part.rest("namespaces/public/default/retention", "POST", policy)

    def _ledgers(self, topic: str, trim: bool = False) -> set[int]:
        """The topic's ledgers with something in them."""
        path = f"persistent/public/default/{topic}"
        if trim:
            self.part.rest(f"{path}/trim", "POST")
        stats = self.part.rest(f"{path}/internalStats")
        return {ledger["ledgerId"] for ledger in stats["ledgers"]}

    def send(self, topic: str, payload: bytes, properties: dict | None = None) -> None:
        self.session(lambda client: self._send(client, topic, payload, properties or {}))

    @staticmethod
    def _send(client, topic: str, payload: bytes, properties: dict) -> None:
        import pulsar

        producer = client.create_producer(f"persistent://public/default/{topic}", batching_enabled=False,
                                          compression_type=pulsar.CompressionType.ZSTD)
        producer.send(payload, properties=properties)

    def session(self, work: Callable):
        """work(client), with a client of Pulsar's own library that is closed afterwards."""
        import pulsar

        client = pulsar.Client(self.part.url, operation_timeout_seconds=20,
                               logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
        try:
            return work(client)
        finally:
            client.close()


def channels_of(milvus, collection) -> list[str]:
    """The topics that a collection's rows are written to."""
    from pymilvus.grpc_gen import milvus_pb2

    stub, metadata = milvus.stub()
    request = milvus_pb2.DescribeCollectionRequest(collection_name=collection.name)
    return list(stub.DescribeCollection(request, timeout=10, metadata=metadata).physical_channel_names)


def queue_of(milvus) -> Queue:
    """The queue that a Milvus of the rig writes to."""
    kinds = {"kafka": KafkaQueue, "pulsar": PulsarQueue}
    return kinds[milvus.options["mq"]](milvus.rig.part(milvus.options["broker"]))
