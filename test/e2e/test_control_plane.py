"""Who may use the API: tokens, TLS, client certificates, rates. The server runs alone, without peers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browser import Browser
from rig import wait_until
from rig.certs import Certs
from rig.ports import reserve
from rig.server import FINDINGS, default_binary

WRITE, READ = "a-token-that-may-write", "a-token-that-may-read"
SOURCE = {"etcd": {"address": ["127.0.0.1:1"]}, "kafka": {"address": "127.0.0.1:1"},
          "replicateChan": "by-dev-replicate-msg"}
LIST = {"request_type": "list"}
PAUSE = {"request_type": "pause", "request_data": {"task_id": "nobody"}}


class Server:
    """A server in a folder; ask() answers (HTTP status, headers, text)."""

    def __init__(self, folder: Path, config: dict, env: dict | None = None):
        self.folder, self.block = folder, reserve()
        self.port, self.tls = self.block.base, None
        self.config = folder / "cdc.yaml"
        self.config.write_text(json.dumps({"address": f"127.0.0.1:{self.port}", "sourceConfig": SOURCE, **config}))
        self.config.chmod(0o600)
        self.log_path = folder / f"log-{self.port}"
        self.log = self.log_path.open("ab")
        self.process = subprocess.Popen([default_binary(), "server", "--config", self.config],
                                        stderr=self.log, env=os.environ | (env or {}))
        if "tlsCertPath" in config.get("api", {}):
            self.tls = ssl.create_default_context(cafile=Certs(folder.parent / "certs").ca)

    def ask(self, body=None, path: str = "/cdc", method: str = "", headers: dict | None = None, tls=None):
        tls = tls or self.tls
        connect = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        options = {"context": tls} if tls else {}
        with contextlib.closing(connect("127.0.0.1", self.port, timeout=60, **options)) as connection:
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
            answer = connection.getresponse()
            names = {name: answer.getheader(name) for name, _ in answer.getheaders()}
            return answer.status, names, answer.read().decode()

    def wait(self) -> "Server":
        def healthy():
            assert self.process.poll() is None, self.log_path.read_text()
            with contextlib.suppress(ConnectionError):
                return self.ask(path="/healthz")[0] == 200

        wait_until(healthy, 60, "the server answers")
        return self

    def stop(self) -> str:
        """Its log."""
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(60) == 0
        finally:
            self.process.kill()
            self.log.close()
            self.block.close()
        text = self.log_path.read_text()
        assert not FINDINGS.search(text), text
        return text


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(config: dict, env: dict | None = None, folder: Path | None = None) -> Server:
        folder = folder or tmp_path / f"server-{len(servers)}"
        folder.mkdir(exist_ok=True)
        servers.append(Server(folder, config, env))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.returncode is None:
            server.stop()


def bearer(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


def basic(token: str) -> dict:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{token}".encode()).decode()}


def test_tokens(serve, tmp_path):
    """The write token from a file, the read token from the environment; nothing of them is shown anywhere."""
    (tmp_path / "token").write_text(WRITE + "\n")
    server = serve({"api": {"writeTokenFile": str(tmp_path / "token"), "readToken": "${CDC_READ}"}},
                   env={"CDC_READ": READ}).wait()
    status, headers, text = server.ask(LIST)
    assert status == 401 and json.loads(text)["code"] == 401 and "Authorization: Bearer" in text
    assert "Bearer" in headers["WWW-Authenticate"]
    assert server.ask(path="/")[0] == 200  # the page itself holds nothing, and asks for the token
    # its own question is enough: no "Basic", which would make the browser ask as well
    status, headers, _ = server.ask(path="/cdc/status.json", headers={"X-Requested-With": "milvus-cdc"})
    assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer")
    for path in ("/cdc/metrics", "/cdc/status.json"):
        assert server.ask(path=path)[0] == 401
        assert server.ask(path=path, headers=bearer(READ))[0] == 200
        assert server.ask(path=path, headers=basic(WRITE))[0] == 200
    assert server.ask(LIST, headers=bearer("a-token-that-may-wrote"))[0] == 401
    assert json.loads(server.ask(LIST, headers=bearer(READ))[2])["code"] == 200
    status, _, text = server.ask(PAUSE, headers=bearer(READ))
    assert status == 403 and json.loads(text)["code"] == 403 and "api.writeToken" in text
    for headers in (bearer(WRITE), basic(WRITE)):
        status, _, text = server.ask(PAUSE, headers=headers)
        assert status == 200 and "not found the task" in text
    # a page of another site can make a browser send its password, and is told apart by its origin
    assert server.ask(PAUSE, headers=basic(WRITE) | {"Origin": "http://evil.test"})[0] == 403
    here = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert server.ask(PAUSE, headers=basic(WRITE) | here)[0] == 200
    # who has no token is not worth reading 5 MiB into memory
    assert server.ask("x" * (5 << 20))[0] == 401
    assert server.ask("x" * (5 << 20), headers=bearer(WRITE))[0] == 413
    seen = "".join(server.ask(path=path, headers=bearer(READ))[2] for path in ("/", "/cdc/metrics"))
    log = server.stop()
    for token in (WRITE, READ):
        assert token not in log and token not in seen


def give(page: Browser, token: str) -> None:
    page.run(f"document.getElementById('token').value = {json.dumps(token)}")
    page.run("document.getElementById('login').requestSubmit()")


def test_status_page_asks_for_the_token(serve, tmp_path):
    """It is kept in the tab alone; a read token shows all and changes nothing."""
    folder = tmp_path / "page"
    store = {"metaStoreConfig": {"rootPath": "cdc"}}
    serve(store, folder=folder).wait().stop()
    plant_task(folder)
    server = serve(store | {"api": {"writeToken": WRITE, "readToken": READ}}, folder=folder).wait()
    page = Browser()
    try:
        page.open(f"http://127.0.0.1:{server.port}/")
        shown = "document.getElementById('{}')?.hidden === false".format
        page.wait(shown("login"), "it asks")
        assert page.run("document.activeElement.id") == "token" and "t1" not in page.text()
        give(page, "a-token-nobody-knows")
        page.wait("document.getElementById('login-why').textContent.includes('not know this token')", "it says why")
        give(page, READ)
        page.wait("document.querySelectorAll('.task').length === 1", "the task is shown")
        assert page.run("document.querySelector('.task').innerText.includes('t1') && document.getElementById('login').hidden")
        page.run("document.querySelector('.task button').click(), document.getElementById('ask-yes').click()")
        page.wait("document.getElementById('ask-why').textContent.includes('api.writeToken')", "it may only look")
        kept = page.run("[Object.values(sessionStorage), Object.keys(localStorage), document.cookie, location.href]")
        assert kept == [[READ], [], "", f"http://127.0.0.1:{server.port}/"]
        page.run("document.getElementById('ask').close(), document.getElementById('forget').click()")
        page.wait(shown("login"), "it asks again")
        assert page.run("sessionStorage.length") == 0 and not page.run("document.getElementById('main').checkVisibility()")
        # each 401 is a line in the console; nothing else is
        assert all("401" in text or "403" in text for text in page.messages), page.messages
    finally:
        page.close()
    assert READ not in server.stop()


def test_rates(serve):
    server = serve({"api": {"rateLimit": 5}}).wait()
    answers = [server.ask(LIST) for _ in range(30)]
    refused = [answer for answer in answers if answer[0] == 429]
    assert refused and answers[0][0] == 200
    status, headers, text = refused[0]
    assert json.loads(text)["code"] == 429 and headers["Retry-After"] == "1"
    assert all(server.ask(path="/healthz")[0] == 200 for _ in range(20))  # probes are never refused


def test_warnings(serve):
    """Open to the world is worth a line, and so are tokens in plain text; a closed server says nothing."""
    assert "everybody who reaches" not in serve({}).wait().stop()
    open_one = serve({"address": "0.0.0.0:0"})
    wait_until(lambda: "the API listens" in open_one.log_path.read_text(), 60, "it listens")
    assert "everybody who reaches 0.0.0.0:0 may create and delete tasks" in open_one.stop()
    plain = serve({"address": "0.0.0.0:0", "api": {"writeToken": WRITE}})
    wait_until(lambda: "the API listens" in plain.log_path.read_text(), 60, "it listens")
    assert "plain text" in plain.stop()


@pytest.fixture
def certs(tmp_path) -> Certs:
    return Certs(tmp_path / "certs")


def client(certs: Certs, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certs.ca)
    if name:
        pair = certs.pair(name)
        context.load_cert_chain(pair.cert, pair.key)
    return context


def test_tls_and_client_certificates(serve, certs):
    pair = certs.pair("server")
    api = {"tlsCertPath": str(pair.cert), "tlsKeyPath": str(pair.key), "tlsClientCAPath": str(certs.ca)}
    server = serve({"api": api}).wait()  # /healthz needs no certificate
    asked = subprocess.run([default_binary(), "health", "--config", server.config], capture_output=True, text=True)
    assert (asked.stdout, asked.returncode) == ("OK\n", 0), asked.stderr
    ours = certs.pair("client")
    listed = subprocess.run([default_binary(), "task", "list", "--config", server.config, "--ca", certs.ca,
                             "--cert", ours.cert, "--key", ours.key], capture_output=True, text=True)
    assert (listed.stdout, listed.returncode) == ("no tasks\n", 0), listed.stderr
    seen = subprocess.run([default_binary(), "doctor", "--config", server.config, "--json"], capture_output=True, text=True)
    assert '"DOC-PORT-OURS"' in seen.stdout and '"DOC-PORT-TAKEN"' not in seen.stdout, seen.stderr
    assert server.ask(LIST, tls=client(certs, "client"))[0] == 200
    for wrong in (None, "other-client"):
        status, _, text = server.ask(LIST, tls=client(certs, wrong))
        assert status == 403 and "client certificate" in text
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain:
        plain.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"200 OK" not in plain.recv(100)


def test_certificates_that_do_not_fit(serve, certs):
    """The server says what is wrong and does not start."""
    server, client_pair = certs.pair("server"), certs.pair("client")
    started = serve({"api": {"tlsCertPath": str(server.cert), "tlsKeyPath": str(client_pair.key)}})
    assert started.process.wait(60) == 1
    log = started.log_path.read_text()
    assert "the server can't start" in log and str(client_pair.key) in log and not FINDINGS.search(log)


TOKEN = "root:an-old-password"


def plant_task(folder: Path) -> None:
    """A paused task as a server without a key stores it."""
    record = {"TaskID": "t1", "MilvusConnectParam": {"uri": "http://10.0.0.1:19530", "token": TOKEN}, "State": 2,
              "Reason": "manually pause through http interface", "Newer": 1,
              "DBCollections": {"*": [{"name": "*"}]}}
    with contextlib.closing(sqlite3.connect(folder / "milvus-cdc.db")) as db, db:
        db.execute("INSERT INTO task_info VALUES(?, ?, ?)", ("cdc/task_info/t1", "t1", json.dumps(record)))


def test_running_and_not_started_is_no_lag_of_zero(serve, tmp_path):
    """The source is away: what the task covers is not known, and so is how far it is behind."""
    folder = tmp_path / "running"
    store = {"metaStoreConfig": {"rootPath": "cdc"}}
    serve(store, folder=folder).wait().stop()
    plant_task(folder)
    with contextlib.closing(sqlite3.connect(folder / "milvus-cdc.db")) as db, db:
        db.execute("UPDATE task_info SET task_info_value = json_set(task_info_value, '$.State', 1, '$.Reason', '')")
    server = serve(store, folder=folder).wait()
    task = lambda: json.loads(server.ask({"request_type": "get", "request_data": {"task_id": "t1"}})[2])["data"]["task"]
    wait_until(lambda: task()["state"] == "Running", 60, "it is loaded")
    detail = task()["detail"]
    assert detail["lag_ms"] is None and detail["waits_for"], detail
    wait_until(lambda: 'milvus_cdc_task_waits{task_id="t1"} 1' in server.ask(path="/cdc/metrics")[2], 30, "it waits")
    assert 'milvus_cdc_lag_milliseconds{task_id="t1"}' not in server.ask(path="/cdc/metrics")[2]
    watch = subprocess.run([default_binary(), "task", "watch", "t1", "--server", f"http://127.0.0.1:{server.port}",
                            "--until-lag", "999999999", "--timeout", "1"], capture_output=True, text=True, timeout=60)
    assert watch.returncode == 1 and "the lag is not known yet; the task waits for" in watch.stderr, watch


def test_a_stop_ends_requests_in_flight(serve):
    """The target takes the connection of a create and is silent; the request has minutes, a stop has not."""
    server = serve({}).wait()
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        create = pool.submit(server.ask, {"request_type": "create", "request_data": {
            "milvus_connect_param": {"uri": uri, "connect_timeout": 600}, "db_collections": {"*": [{"name": "*"}]}}})
        silent.settimeout(60)
        connection, _ = silent.accept()
        server.stop()
        connection.close()
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert "cancelled" in create.result(60)[2]


def test_doctor_of_a_task_whose_metastore_is_away(tmp_path):
    """Whether there is such a task is not known: the metastore is what is wrong."""
    config = tmp_path / "cdc.yaml"
    config.write_text(json.dumps({"address": "127.0.0.1:0", "sourceConfig": SOURCE, "metaStoreConfig": {
        "storeType": "etcd", "etcd": {"address": ["127.0.0.1:1"]}, "rootPath": "cdc"}}))
    done = subprocess.run([default_binary(), "doctor", "--task", "t1", "--config", config], capture_output=True, text=True,
                          timeout=120)
    assert "DOC-STORE-UNREACHABLE" in done.stdout and "has no task" not in done.stderr, done


def stored_token(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / "milvus-cdc.db")) as db:
        record = json.loads(db.execute("SELECT task_info_value FROM task_info").fetchone()[0])
    assert record["Newer"] == 1
    return record["MilvusConnectParam"]["token"]


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def test_encrypted_credentials(serve, tmp_path):
    """Switched on, a key replaced, the key missing: the token is never lost, and no byte of it stays in the file."""
    folder, keys = tmp_path / "one", tmp_path / "keys"
    plain = {"metaStoreConfig": {"rootPath": "cdc"}}
    config = {"metaStoreConfig": {"rootPath": "cdc", "encryptionKeyFile": str(keys)}}
    serve(plain, folder=folder).wait().stop()
    plant_task(folder)

    def run(text: str) -> str:
        keys.write_text(text)
        keys.chmod(0o600)
        server = serve(config, folder=folder).wait()
        wait_until(lambda: "stored tasks loaded" in server.log_path.read_text(), 60, "the tasks are loaded")
        answer = server.ask({"request_type": "get", "request_data": {"task_id": "t1"}})[2]
        assert json.loads(answer)["data"]["task"]["task_id"] == "t1" and TOKEN not in answer
        return server.stop()

    old, new = new_key(), new_key()
    assert "the credentials of 1 tasks were encrypted" in run(old)
    first = stored_token(folder)
    assert first.startswith("$cdc-sealed1$")
    for file in folder.glob("milvus-cdc.db*"):
        assert TOKEN.encode() not in file.read_bytes(), file
    assert "were encrypted" in run(f"{new}\n{old}\n")
    second = stored_token(folder)
    assert second != first
    assert "were encrypted" not in run(new)
    keys.write_text(old)
    for more in (config, plain):
        server = serve(more, folder=folder)
        assert server.process.wait(60) == 1
        log = server.log_path.read_text()
        assert "the token of task t1: encrypted with key" in log and "encryptionKeyFile" in log
    assert stored_token(folder) == second
    keys.write_text("no key\n")
    wrong = serve(config, folder=folder)
    assert wrong.process.wait(60) == 1
    log = wrong.log_path.read_text()
    assert "keys:1: not a key" in log and "no key\n" not in log
