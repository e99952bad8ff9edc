"""The queue of a Milvus, the same verbs whatever it is: what a test does to it by hand."""

from __future__ import annotations

from typing import Callable


class Queue:
    """part is the broker in the rig."""

    def __init__(self, part):
        self.part = part

    def topics(self) -> set[str]:
        raise NotImplementedError

    def end(self, topic: str) -> tuple:
        """A place that grows with every message."""
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


class PulsarQueue(Queue):
    def topics(self) -> set[str]:
        return {name.rpartition("/")[2] for name in self.part.rest("persistent/public/default")}

    def end(self, topic: str) -> tuple:
        last = self.part.rest(f"persistent/public/default/{topic}/internalStats")["lastConfirmedEntry"]
        return tuple(int(n) for n in last.split(":"))

    def unload(self, topic: str) -> None:
        """Takes the topic from its broker, which drops all its consumers and serves it anew when asked."""
        self.part.rest(f"persistent/public/default/{topic}/unload", "PUT")

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


def queue_of(milvus) -> Queue:
    """The queue that a Milvus of the rig writes to."""
    kinds = {"kafka": KafkaQueue, "pulsar": PulsarQueue}
    return kinds[milvus.options["mq"]](milvus.rig.part(milvus.options["broker"]))
