"""The server under test: milvus-cdc, with its configuration and its HTTP API."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from pathlib import Path

import yaml

from .milvus import _merge
from .part import Part, RigError, http_get

REPOSITORY = Path(__file__).resolve().parents[2]
FINDINGS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error:")


class ApiError(Exception):
    """The API answered with a code other than 200."""

    def __init__(self, code: int, message: str):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def default_binary() -> Path:
    return Path(os.environ.get("MILVUS_CDC_BIN") or REPOSITORY / "milvus-cdc").absolute()


class Cdc(Part):
    """One milvus-cdc server in a folder of its own, which also holds its embedded store.

    options: source (name of the part it reads), binary, config (merged over the generated one), env.
    """

    kind = "cdc"
    start_timeout = 30.0
    stop_timeout = 20.0

    @property
    def uri(self) -> str:
        return f"http://{self.address}/cdc"

    @property
    def config_path(self) -> Path:
        return self.path("cdc.yaml")

    def prepare(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config(), sort_keys=False))

    def config(self) -> dict:
        source = self.rig.part(self.options["source"])
        read: dict = {
            "etcd": {"address": [self.rig.part(source.options["etcd"]).address],
                     "rootPath": source.name, "metaSubPath": "meta"},
            "replicateChan": source.replicate_channel,
        }
        broker = self.rig.part(source.options["broker"])
        if broker.kind == "pulsar":
            read["pulsar"] = {"address": broker.url, "webAddress": broker.web_address, "tenant": "public",
                              "namespace": "default", "maxMessageSize": 5242880, **broker.client_auth()}
        else:
            read["kafka"] = {"address": broker.address}
        conf = {"address": self.address, "maxTaskNum": 100, "logLevel": "info", "sourceConfig": read}
        _merge(conf, self.options.get("config") or {})
        return conf

    def command(self) -> list[str]:
        binary = self.options["binary"]
        if not shutil.which(binary):
            raise RigError(f"{binary} is not there or cannot be run: make build, or set MILVUS_CDC_BIN")
        return [binary, "server", "--config", str(self.config_path)]

    def environment(self) -> dict:
        sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        more = self.options.get("env") or {}
        return super().environment() | {"UBSAN_OPTIONS": "print_stacktrace=1"} | sanitizers | more

    def ready(self) -> object:
        return self.post("list")["code"] == 200

    # the API -------------------------------------------------------------------------------------

    def post(self, request_type: str, data: dict | None = None, timeout: float = 60.0) -> dict:
        """One request, answered as it is: {"code": ..., "message": ..., "data": ...}."""
        body = json.dumps({"request_type": request_type, "request_data": data or {}}).encode()
        request = urllib.request.Request(self.uri, data=body, headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as answer:
            return json.load(answer)

    def ask(self, request_type: str, data: dict | None = None) -> dict:
        """The answer's data; anything but code 200 is an ApiError."""
        answer = self.post(request_type, data)
        if answer.get("code") != 200:
            raise ApiError(answer.get("code", 0), answer.get("message", ""))
        return answer.get("data", {})

    def create(self, target, collections: dict | None = None, **more) -> str:
        """Replicates to a target part, by default everything; returns the task id."""
        connect = {"uri": target.uri, "connect_timeout": 10}
        if target.token:
            connect["token"] = target.token
        if target.dial_config:
            connect["dial_config"] = target.dial_config
        connect.update(more.pop("milvus_connect_param", {}))
        data = {"milvus_connect_param": connect,
                "db_collections": collections or {"*": [{"name": "*"}]}, **more}
        return self.ask("create", data)["task_id"]

    def pause_task(self, task: str) -> None:
        self.ask("pause", {"task_id": task})

    def resume_task(self, task: str) -> None:
        self.ask("resume", {"task_id": task})

    def delete(self, task: str, **more) -> None:
        self.ask("delete", {"task_id": task, **more})

    def get(self, task: str) -> dict:
        return self.ask("get", {"task_id": task})["task"]

    def list(self) -> list[dict]:
        return self.ask("list")["tasks"]

    def position(self, task: str) -> dict:
        return self.ask("position", {"task_id": task})

    def metrics(self) -> str:
        return http_get(f"{self.uri}/metrics", timeout=10).decode()

    # what a test wants to know at the end --------------------------------------------------------

    def findings(self) -> str:
        """From the first sanitizer report in the log on; empty when there is none."""
        if not self.log_path.exists():
            return ""
        lines = self.log_path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if FINDINGS.search(line):
                return "\n".join(lines[max(0, number - 1):number + 60])
        return ""
