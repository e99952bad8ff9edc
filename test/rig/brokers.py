"""Kafka (KRaft, one node) and Pulsar standalone, straight from their jars."""

from __future__ import annotations

import json
import shutil
import urllib.request

from . import cache
from .part import Part, RigError, http_get

KAFKA_CLUSTER = "bWlsdnVzLWNkYy1yaWctMQ"  # any 16 bytes in base64


def _java() -> str:
    path = shutil.which("java")
    if not path:
        raise RigError("java is not installed: run tools/install test")
    return path


class Kafka(Part):
    """One broker that is its own controller. options: properties (added to server.properties)."""

    kind = "kafka"

    def prepare(self) -> None:
        data = self.path("data")
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.port(1)}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port()},CONTROLLER://127.0.0.1:{self.port(1)}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": data,
            "num.partitions": 1,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "message.max.bytes": 10485760,
            "replica.fetch.max.bytes": 10485760,
        }
        properties.update(self.options.get("properties", {}))
        self.path("server.properties").write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        if not data.is_dir():  # what "kafka-storage format" writes, without a JVM to write it
            data.mkdir()
            (data / "meta.properties").write_text(f"version=1\nnode.id=1\ncluster.id={KAFKA_CLUSTER}\n")

    def command(self) -> list[str]:
        return [_java(), f"-Xmx{self.options.get('heap', '512m')}", "-XX:+UseSerialGC", "-XX:-UsePerfData",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-cp", f"{cache.peer('kafka')}/*", "kafka.Kafka", str(self.path("server.properties"))]

    def ready(self) -> object:
        return self.admin().list_topics(timeout=1).brokers

    def admin(self):
        """A confluent_kafka AdminClient; silent, as a broker that is down is often the point."""
        import logging

        from confluent_kafka.admin import AdminClient

        quiet = logging.getLogger("rig.kafka")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        return AdminClient({"bootstrap.servers": self.address}, logger=quiet)

    def topics(self) -> set[str]:
        return set(self.admin().list_topics(timeout=10).topics)

    def ends(self, topic: str) -> tuple[int, int]:
        """The first offset and the one after the last of partition 0."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "rig"})
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        finally:
            consumer.close()


class Pulsar(Part):
    """Broker, bookie and metadata store in one process. options: conf (added to standalone.conf)."""

    kind = "pulsar"
    opened = ("java.base/java.lang", "java.base/sun.net", "java.base/java.util.zip",
              "java.base/jdk.internal.platform", "java.management/sun.management",
              "jdk.management/com.sun.management.internal")

    @property
    def url(self) -> str:
        return f"pulsar://{self.address}"

    @property
    def web_address(self) -> str:
        return f"127.0.0.1:{self.port(1)}"

    def prepare(self) -> None:
        conf = {
            "brokerServicePort": self.port(),
            "webServicePort": self.port(1),
            "bindAddress": "127.0.0.1",
            "advertisedAddress": "127.0.0.1",
            "clusterName": "standalone",
            "metadataStoreUrl": "",
            "configurationMetadataStoreUrl": "",
            "numIOThreads": 2,
            "numHttpServerThreads": 4,
            "managedLedgerDefaultEnsembleSize": 1,
            "managedLedgerDefaultWriteQuorum": 1,
            "managedLedgerDefaultAckQuorum": 1,
            "ledgerStorageClass": "org.apache.bookkeeper.bookie.storage.ldb.DbLedgerStorage",
            "journalMaxGroupWaitMSec": 1,
            # the load manager reads the NIC's speed, which virtual machines do not have
            "loadManagerClassName": "org.apache.pulsar.broker.loadbalance.NoopLoadManager",
            "loadBalancerEnabled": "false",
            "loadBalancerOverrideBrokerNicSpeedGbps": 10,
            "allowAutoTopicCreation": "true",
            "brokerDeleteInactiveTopicsEnabled": "false",
            "defaultRetentionTimeInMinutes": 10080,
            "defaultRetentionSizeInMB": 8192,
            "maxMessageSize": 5242880,
            "systemTopicEnabled": "false",
            "topicLevelPoliciesEnabled": "false",
            "webSocketServiceEnabled": "false",
        }
        conf.update(self.options.get("conf", {}))
        self.path("standalone.conf").write_text("".join(f"{k}={v}\n" for k, v in conf.items()))

    def command(self) -> list[str]:
        opens = [arg for name in self.opened for arg in ("--add-opens", f"{name}=ALL-UNNAMED")]
        return [_java(), "-Xmx1g", "-XX:MaxDirectMemorySize=1g", "-XX:-UsePerfData",
                "-cp", f"{cache.peer('pulsar')}/*", *opens, "-Dio.netty.tryReflectionSetAccessible=true",
                "org.apache.pulsar.PulsarStandaloneStarter", "-c", str(self.path("standalone.conf")),
                "-nss", "-nfw", "--metadata-dir", str(self.path("meta")),
                "--bookkeeper-dir", str(self.path("bookies")), "--num-bookies", "1",
                "--bookkeeper-port", str(self.port(2))]

    def ready(self) -> object:
        """The tenant's namespace comes a moment after the port opens."""
        return "public/default" in self.rest("namespaces/public")

    def rest(self, path: str, method: str = "GET"):
        """The admin API below /admin/v2."""
        url = f"http://{self.web_address}/admin/v2/{path}"
        if method == "GET":
            return json.loads(http_get(url))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.read()
