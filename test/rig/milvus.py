"""Milvus 2.3.5 standalone, as source or as target of a replication."""

from __future__ import annotations

import base64
import copy
import re
import shutil
import signal
from pathlib import Path

import yaml

from . import cache
from .part import Part, http_get

SERVERS = ("proxy", "rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")


def _template() -> dict:
    """The packed server's configuration, placeholders replaced by their defaults."""
    text = (cache.milvus_template() / "config.yaml.template").read_text()
    text = re.sub(r"\{\{[^:}]*(?::\s*([^}]*?))?\s*\}\}", lambda m: m.group(1) or "unset", text)
    return yaml.safe_load(text)


def _merge(into: dict, more: dict) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


class Milvus(Part):
    """One standalone server. Its name is also its etcd root path and its channel prefix.

    options: mq (kafka, pulsar, rocksmq), target, dml_channels, auth, tls (tlsMode: 1 it shows a
    certificate, 2 it also asks for one), config (merged over all else), etcd and broker (names of
    the parts it uses).
    """

    kind = "milvus"
    start_timeout = 45.0
    start_attempts = 2  # on a busy machine 2.3.5 sometimes never gets all its parts healthy
    stop_timeout = 5.0  # with a loaded collection a polite end takes 28 s; nothing is lost by a kill

    @property
    def uri(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def tls(self) -> int:
        return self.options.get("tls", 0)

    @property
    def dial_config(self) -> dict:
        """What a client needs for TLS, in the spelling of the create request."""
        certs = self.rig.certs
        if self.tls == 1:
            return {"server_pem_path": str(certs.ca)}
        if self.tls == 2:
            client = certs.pair("client")
            return {"ca_pem_path": str(certs.ca), "client_pem_path": str(client.cert),
                    "client_key_path": str(client.key)}
        return {}

    @property
    def token(self) -> str:
        return "root:Milvus" if self.options.get("auth") else ""

    @property
    def replicate_channel(self) -> str:
        return f"{self.name}-replicate-msg"

    @property
    def metrics_address(self) -> str:
        return f"127.0.0.1:{self.port(9)}"

    def prepare(self) -> None:
        # a killed server's session blocks the next one until its lease ends, 30 s later
        self.rig.part(self.options["etcd"]).delete_prefix(f"{self.name}/meta/session/")
        conf = _template()
        _merge(conf, self._settings())
        _merge(conf, self.options.get("config") or {})
        if self.options["mq"] == "kafka":
            conf.pop("pulsar", None)
        folder = self.path("configs")
        folder.mkdir(exist_ok=True)
        (folder / "milvus.yaml").write_text(yaml.safe_dump(conf))
        shutil.copy(cache.milvus_template() / "glog.conf", folder / "glog.conf")

    def _settings(self) -> dict:
        o = self.options
        conf: dict = {name: {"ip": "127.0.0.1", "port": self.port(i)}
                      for i, name in zip((0, 2, 3, 4, 5, 6, 7), SERVERS)}
        conf["proxy"]["internalPort"] = self.port(1)
        conf["rootCoord"]["dmlChannelNum"] = o["dml_channels"]
        _merge(conf, {
            "etcd": {"rootPath": self.name, "use": {"embed": False}},
            "localStorage": {"path": str(self.path("data"))},
            "rocksmq": {"path": str(self.path("rocksmq"))},
            "minio": {"rootPath": self.name},
            "mq": {"type": o["mq"]},
            "log": {"level": o.get("log_level", "info"), "file": {"rootPath": ""}},
            "indexCoord": {"address": f"127.0.0.1:{self.port(8)}", "port": self.port(8)},
            "common": {
                "storageType": "local",
                "ttMsgEnabled": not o["target"],
                "chanNamePrefix": {"cluster": self.name},
                "security": {"authorizationEnabled": o["auth"], "tlsMode": self.tls},
            },
            "msgChannel": {"chanNamePrefix": {"cluster": self.name}},
        })
        if self.tls:
            server = self.rig.certs.pair("server")
            conf["tls"] = {"serverPemPath": str(server.cert), "serverKeyPath": str(server.key),
                           "caPemPath": str(self.rig.certs.ca)}
        conf["etcd"].update(self.rig.part(o["etcd"]).milvus_settings())
        if o["mq"] == "kafka":
            conf["kafka"] = {"brokerList": self.rig.part(o["broker"]).address, "readTimeout": 10}
        elif o["mq"] == "pulsar":
            pulsar = self.rig.part(o["broker"])
            conf["pulsar"] = {"address": "127.0.0.1", "port": pulsar.port(), "webport": pulsar.port(1)}
            conf["pulsar"].update(pulsar.client_auth())
        return conf

    def command(self) -> list[str]:
        return [str(cache.peer("milvus") / "milvus"), "run", "standalone"]

    def environment(self) -> dict:
        return super().environment() | {
            "DEPLOY_MODE": "STANDALONE", "METRICS_PORT": str(self.port(9)),
            "MILVUS_RUN_DIR": str(self.path("run")), "MILVUSCONF": str(self.path("configs")),
            "LD_LIBRARY_PATH": str(cache.peer("milvus"))}

    def ready(self) -> object:
        """All components healthy, and the proxy answers what a client asks first."""
        from pymilvus.grpc_gen import milvus_pb2

        http_get(f"http://{self.metrics_address}/healthz")
        stub, metadata = self.stub()
        if not stub.CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=2, metadata=metadata).isHealthy:
            return False
        answer = stub.ShowCollections(milvus_pb2.ShowCollectionsRequest(), timeout=2, metadata=metadata)
        return answer.status.error_code == 0 and answer.status.code == 0

    def stop(self) -> bool:
        polite = super().stop()
        self._forget()
        return polite

    def kill(self, number: int = signal.SIGKILL) -> None:
        super().kill(number)
        self._forget()

    def _forget(self) -> None:
        """Removes the file that each server leaves at a path built into it."""
        if not self.alive():
            Path(f"/tmp/milvus/server_id_{self.pid}").unlink(missing_ok=True)

    def stub(self):
        """The raw gRPC stub and the metadata every call needs; one channel for the part's life."""
        import grpc
        from pymilvus.grpc_gen import milvus_pb2_grpc

        if not hasattr(self, "_stub"):
            limit = 512 << 20
            options = [
                ("grpc.max_send_message_length", limit), ("grpc.max_receive_message_length", limit),
                ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.min_reconnect_backoff_ms", 100), ("grpc.enable_http_proxy", 0)]
            if self.tls:
                client = self.rig.certs.pair("client")
                files = (self.rig.certs.ca, client.key, client.cert)
                credentials = grpc.ssl_channel_credentials(*(f.read_bytes() for f in files))
                channel = grpc.secure_channel(self.address, credentials, options=options)
            else:
                channel = grpc.insecure_channel(self.address, options=options)
            self._stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        metadata = [("authorization", base64.b64encode(self.token.encode()).decode())] if self.token else []
        return self._stub, metadata

    def connect(self, alias: str = "", db: str = "default") -> str:
        """Opens a pymilvus connection and returns its alias, for using=... (default: the name)."""
        from pymilvus import connections

        alias = alias or (self.name if db == "default" else f"{self.name}/{db}")
        tls = {"secure": True, "server_name": "localhost", **self.dial_config} if self.tls else {}
        known = connections.get_connection_addr(alias)
        if known and known.get("address") != self.address:  # of an earlier server of this name
            connections.remove_connection(alias)
        connections.connect(alias, uri=self.uri, token=self.token, db_name=db, **tls)
        return alias
