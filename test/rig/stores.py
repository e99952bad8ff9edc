"""etcd and MariaDB."""

from __future__ import annotations

import base64
import getpass
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

from .part import Part, RigError, http_get


def _tool(name: str) -> str:
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    if not path:
        raise RigError(f"{name} is not installed: run tools/install test")
    return path


class Etcd(Part):
    """One etcd member, always also without TLS at its first port.

    options: tls (server: a second port with TLS; mutual: one that asks for a certificate of ours),
    auth (users: root has the password ROOT_PASSWORD), certificate (another one than server), args (more command line arguments).
    """

    kind = "etcd"
    ROOT_PASSWORD = "etcd-root-secret"

    @property
    def tls_address(self) -> str:
        return f"127.0.0.1:{self.port(2)}"

    def command(self) -> list[str]:
        client, peer = f"http://{self.address}", f"http://127.0.0.1:{self.port(1)}"
        args = list(self.options.get("args", []))
        if self.options.get("tls"):
            server = self.rig.certs.pair(self.options.get("certificate", "server"))
            client += f",https://{self.tls_address}"
            args += ["--cert-file", str(server.cert), "--key-file", str(server.key)]
        if self.options.get("tls") == "mutual":
            args += ["--client-cert-auth", "--trusted-ca-file", str(self.rig.certs.ca)]
        return [_tool("etcd"), "--name", "rig", "--data-dir", str(self.path("data")),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"rig={peer}", *args]

    def ready(self) -> object:
        return json.loads(http_get(f"http://{self.address}/health"))["health"] == "true"

    def start(self) -> "Etcd":
        if not self.alive():
            super().start()
            if self.options.get("auth"):
                self.enable_auth()
        return self

    def enable_auth(self) -> None:
        """From now on every call needs a user; nothing if it is so already."""
        if self.path("users").exists():
            return
        self.call("auth/user/add", {"name": "root", "password": self.ROOT_PASSWORD})
        self.call("auth/role/add", {"name": "root"})
        self.call("auth/user/grant", {"user": "root", "role": "root"})
        self.call("auth/enable", {})
        self.path("users").touch()

    def set_password(self, password: str, user: str = "root") -> None:
        """Changes it; the rig's own calls go on with what root has."""
        self.call("auth/user/changepw", {"name": user, "password": password})
        if user == "root":
            self._root_password = password

    def milvus_settings(self) -> dict:
        """The etcd block of a Milvus on it. 2.3.5 knows no passwords, so there its certificate names the user."""
        if not self.options.get("auth"):
            return {"endpoints": self.address}
        root = self.rig.certs.pair("root")
        return {"endpoints": self.tls_address,
                "ssl": {"enabled": True, "tlsCert": str(root.cert), "tlsKey": str(root.key),
                        "tlsCACert": str(self.rig.certs.ca), "tlsMinVersion": 1.3}}

    def call(self, path: str, request: dict) -> dict:
        """One request to etcd's JSON gateway."""
        headers = {}
        if self.path("users").exists():
            login = {"name": "root", "password": getattr(self, "_root_password", self.ROOT_PASSWORD)}
            headers["Authorization"] = self._post("auth/authenticate", login, {})["token"]
        return self._post(path, request, headers)

    def _post(self, path: str, request: dict, headers: dict) -> dict:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        ask = urllib.request.Request(f"http://{self.address}/v3/{path}", json.dumps(request).encode(), headers)
        with opener.open(ask, timeout=10) as answer:
            return json.load(answer)

    def prefix(self, prefix: str) -> dict[str, bytes]:
        """All keys below a prefix with their values."""
        answer = self.call("kv/range", self._range(prefix))
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", ""))
                for kv in answer.get("kvs", [])}

    @staticmethod
    def _range(prefix: str) -> dict:
        start = prefix.encode()
        end = start[:-1] + bytes([start[-1] + 1])
        return {"key": base64.b64encode(start).decode(), "range_end": base64.b64encode(end).decode()}

    def delete_prefix(self, prefix: str) -> None:
        self.call("kv/deleterange", self._range(prefix))

    def put(self, key: str, value: bytes) -> None:
        self.call("kv/put", {"key": base64.b64encode(key.encode()).decode(),
                             "value": base64.b64encode(value).decode()})


class MariaDB(Part):
    """A MariaDB with the database milvuscdc and the user root (password root) over TCP."""

    kind = "mariadb"
    user, password, database = "root", "root", "milvuscdc"

    @property
    def socket(self) -> Path:
        return self.path("s")  # short: a socket's path has at most 107 bytes

    @property
    def dsn(self) -> str:
        return f"{self.user}:{self.password}@tcp({self.address})/{self.database}?charset=utf8"

    def prepare(self) -> None:
        if not self.path("data").is_dir():
            with open(self.log_path, "ab") as log:
                subprocess.run([_tool("mariadb-install-db"), "--no-defaults", f"--datadir={self.path('data')}",
                                f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal",
                                "--skip-test-db"], stdout=log, stderr=log, check=True)
        self.path("init.sql").write_text(
            f"CREATE DATABASE IF NOT EXISTS {self.database};\n"
            f"CREATE OR REPLACE USER '{self.user}'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'127.0.0.1';\n")

    def command(self) -> list[str]:
        return [_tool("mariadbd"), "--no-defaults", f"--datadir={self.path('data')}",
                f"--user={getpass.getuser()}", "--bind-address=127.0.0.1", f"--port={self.port()}",
                f"--socket={self.socket}", f"--pid-file={self.path('pid')}", "--skip-name-resolve",
                f"--init-file={self.path('init.sql')}", "--innodb-buffer-pool-size=64M",
                *self.options.get("args", [])]

    def ready(self) -> object:
        return self.sql("SELECT 1").strip() == "1"

    def sql(self, statement: str) -> str:
        """What the client prints for a statement, tabs between columns, no header."""
        done = subprocess.run([_tool("mariadb"), "--no-defaults", "-h", "127.0.0.1", "-P", str(self.port()),
                               f"-u{self.user}", f"-p{self.password}", "-N", "-B", "-e", statement,
                               self.database], capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return done.stdout
