"""Kafka (KRaft, one node) and Pulsar standalone, straight from their jars."""

from __future__ import annotations

import json
import shutil
import urllib.request

from . import cache
from .part import Part, RigError
from .tokens import Issuer

KAFKA_CLUSTER = "bWlsdnVzLWNkYy1yaWctMQ"  # any 16 bytes in base64

# without one Pulsar logs every request, with the source line of each
LOG4J = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


def _java() -> str:
    path = shutil.which("java")
    if not path:
        raise RigError("java is not installed: run tools/install test")
    return path


class Kafka(Part):
    """One broker that is its own controller.

    options: secure (more listeners, see LISTENERS, and users), properties (added to server.properties),
    through (address of a proxy in front of it: who comes in at through_address is told to connect there).
    """

    kind = "kafka"
    LISTENERS = {"SASL_PLAINTEXT": 2, "SSL": 3, "SASL_SSL": 4, "MUTUAL": 5}  # MUTUAL: SSL that asks for ours
    MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    USER, PASSWORD = "cdc", "kafka-cdc-secret"

    def start(self) -> "Kafka":
        if not self.alive():
            super().start()
            if self.options.get("secure") and not self.path("users").exists():
                self.set_password(self.PASSWORD)
                self.path("users").touch()
        return self

    def set_password(self, password: str) -> None:
        """Of USER for SCRAM; the one for PLAIN stays what it is."""
        from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

        kinds = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        admin = self.admin()
        for kind in kinds:  # two of one user in one request are refused
            user = UserScramCredentialUpsertion(self.USER, ScramCredentialInfo(kind, 4096), password.encode())
            for done in admin.alter_user_scram_credentials([user]).values():
                done.result(timeout=20)

    def listener(self, name: str) -> str:
        """The address of one of LISTENERS."""
        return f"127.0.0.1:{self.port(self.LISTENERS[name])}"

    def client(self, listener: str, mechanism: str = "PLAIN") -> dict:
        """The kafka block of a configuration that connects there."""
        protocol = "SSL" if listener == "MUTUAL" else listener
        block: dict = {"address": self.listener(listener), "securityProtocol": protocol}
        if protocol.startswith("SASL"):
            block.update(saslUsername=self.USER, saslPassword=self.PASSWORD, saslMechanisms=mechanism)
        if protocol.endswith("SSL"):
            block["consumer"] = {"ssl.ca.location": str(self.rig.certs.ca)}
        if listener == "MUTUAL":
            mine = self.rig.certs.pair("client")
            block["consumer"].update({"ssl.certificate.location": str(mine.cert), "ssl.key.location": str(mine.key)})
        return block

    def _secure(self, properties: dict) -> None:
        """Adds the listeners with users and TLS; broker and controller talk to themselves without."""
        kinds = {"MUTUAL": "SSL"}
        for name in self.LISTENERS:
            properties["listeners"] += f",{name}://{self.listener(name)}"
            properties["advertised.listeners"] += f",{name}://{self.listener(name)}"
            properties["listener.security.protocol.map"] += f",{name}:{kinds.get(name, name)}"
        login = "org.apache.kafka.common.security"
        for name in ("sasl_plaintext", "sasl_ssl"):
            base = f"listener.name.{name}"
            properties[f"{base}.sasl.enabled.mechanisms"] = ",".join(self.MECHANISMS)
            properties[f"{base}.plain.sasl.jaas.config"] = \
                f'{login}.plain.PlainLoginModule required user_{self.USER}="{self.PASSWORD}";'
            for kind in ("scram-sha-256", "scram-sha-512"):
                properties[f"{base}.{kind}.sasl.jaas.config"] = f"{login}.scram.ScramLoginModule required;"
        properties.update({
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.rig.certs.pair("server").both,
            "ssl.truststore.type": "PEM", "ssl.truststore.location": self.rig.certs.ca,
            "listener.name.mutual.ssl.client.auth": "required",
        })

    @property
    def through_address(self) -> str:
        """Where a proxy has to connect to."""
        return f"127.0.0.1:{self.port(6)}"

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
        if self.options.get("secure"):
            self._secure(properties)
        if through := self.options.get("through"):
            properties["listeners"] += f",THROUGH://{self.through_address}"
            properties["advertised.listeners"] += f",THROUGH://{through}"
            properties["listener.security.protocol.map"] += ",THROUGH:PLAINTEXT"
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
    """Broker, bookie and metadata store in one process.

    Not to be used any more after a kill(): the bookie of a standalone (3.0.7) keeps entries out of its journal whatever its configuration says,
    so after a SIGKILL acknowledged messages are gone and topics can't be opened. stop() closes every ledger.

    options: tls (server: a second port with TLS; mutual: one that asks for a certificate of ours;
    cert: the server's certificate, default "server"), token (secret or pair: every connection must
    show a token of the rig; roles other than ROLES may do nothing), through (address of a proxy in front
    of it: who comes in at through_address is told to connect there), server_jit (see command), conf (added
    to standalone.conf).
    """

    kind = "pulsar"
    start_timeout = 240.0  # 7 s of CPU time, on a busy machine a minute
    probe_pause = 0.2  # a probe costs the starting server several milliseconds
    ROLES = ("admin", "milvus", "cdc")
    opened = ("java.base/java.lang", "java.base/sun.net", "java.base/java.util.zip",
              "java.base/jdk.internal.platform", "java.management/sun.management",
              "jdk.management/com.sun.management.internal")

    @property
    def url(self) -> str:
        return f"pulsar://{self.address}"

    @property
    def tls_url(self) -> str:
        return f"pulsar+ssl://localhost:{self.port(3)}"

    @property
    def issuer(self) -> Issuer:
        return Issuer(self.dir, self.options.get("token", ""))

    def token(self, role: str = "cdc", valid_s: float | None = None, secret: bytes = b"") -> str:
        """A token of a role; see Issuer.token."""
        return self.issuer.token(role, valid_s, secret)

    def client_auth(self, role: str = "milvus") -> dict:
        """What a configuration of Milvus or of ours says to be let in; empty without tokens."""
        if not self.options.get("token"):
            return {}
        return {"authPlugin": "org.apache.pulsar.client.impl.auth.AuthenticationToken",
                "authParams": f"token:{self.token(role)}"}

    def _tls(self) -> dict:
        server = self.rig.certs.pair(self.options.get("cert", "server"))
        return {"brokerServicePortTls": self.port(3), "tlsCertificateFilePath": server.cert,
                "tlsKeyFilePath": server.key, "tlsTrustCertsFilePath": self.rig.certs.ca,
                "tlsRequireTrustedClientCertOnConnect": str(self.options["tls"] == "mutual").lower()}

    def _users(self) -> dict:
        self.issuer.prepare()
        provider = "org.apache.pulsar.broker.authentication.AuthenticationProviderToken"
        own = self.client_auth("admin")
        return {"authenticationEnabled": "true", "authenticationProviders": provider,
                "authorizationEnabled": "true", "superUserRoles": ",".join(self.ROLES),
                "brokerClientAuthenticationPlugin": own["authPlugin"],
                "brokerClientAuthenticationParameters": own["authParams"], **self.issuer.settings()}

    @property
    def web_address(self) -> str:
        return f"127.0.0.1:{self.port(1)}"

    @property
    def through_address(self) -> str:
        """Where a proxy has to connect to."""
        return f"127.0.0.1:{self.port(4)}"

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
        if self.options.get("tls"):
            conf.update(self._tls())
        if self.options.get("token"):
            conf.update(self._users())
        if through := self.options.get("through"):
            conf["internalListenerName"] = "direct"
            conf["advertisedListeners"] = f"direct:{self.url},through:pulsar://{through}"
            conf["bindAddresses"] = f"through:pulsar://{self.through_address}"
        conf.update(self.options.get("conf", {}))
        self.path("standalone.conf").write_text("".join(f"{k}={v}\n" for k, v in conf.items()))
        self.path("log4j2.properties").write_text(LOG4J)

    def command(self) -> list[str]:
        opens = [arg for name in self.opened for arg in ("--add-opens", f"{name}=ALL-UNNAMED")]
        # the first compiler alone halves the CPU time of a start, which is what tests need most
        jit = [] if self.options.get("server_jit") else ["-XX:TieredStopAtLevel=1"]
        return [_java(), "-Xmx1g", "-XX:MaxDirectMemorySize=1g", "-XX:+UseSerialGC", "-XX:-UsePerfData", *jit,
                "-cp", f"{cache.peer('pulsar')}/*", *opens, "-Dio.netty.tryReflectionSetAccessible=true",
                f"-Dlog4j2.configurationFile={self.path('log4j2.properties')}",
                "org.apache.pulsar.PulsarStandaloneStarter", "-c", str(self.path("standalone.conf")),
                "-nss", "-nfw", "--metadata-dir", str(self.path("meta")),
                "--bookkeeper-dir", str(self.path("bookies")), "--num-bookies", "1",
                "--bookkeeper-port", str(self.port(2))]

    def ready(self) -> object:
        """The tenant's namespace comes a moment after the port opens."""
        return "public/default" in self.rest("namespaces/public")

    def rest(self, path: str, method: str = "GET", body: dict | None = None):
        """The admin API below /admin/v2."""
        request = urllib.request.Request(f"http://{self.web_address}/admin/v2/{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={} if body is None else {"Content-Type": "application/json"})
        if self.options.get("token"):
            request.add_header("Authorization", f"Bearer {self.token('admin')}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            said = answer.read()
        return json.loads(said or "null") if method == "GET" else said
