"""Metastores on real servers: copies between all kinds, and an etcd with users, passwords and certificates.

migrate-store is the probe: it opens a store as the server does, and says what is wrong.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess

import pytest
import yaml

from rig import Rig, together
from rig.server import default_binary
from test_control_plane import Server

TASK = "6623ae52d35842a5a2c9d89b16ed7aa1"


@pytest.fixture(scope="module")
def stores():
    """Three etcds (plain, mutual TLS with users, one whose certificate has ended) and a MariaDB."""
    with Rig() as rig:
        together(rig.etcd, rig.mariadb, lambda: rig.etcd("safe", tls="mutual", auth=True),
                 lambda: rig.etcd("ended", tls="server", certificate="expired"))
        yield rig


def etcd(part, root: str = "cdc", **more) -> dict:
    return {"storeType": "etcd", "etcd": {"address": [part.address], **more}, "rootPath": root}


def safe(rig, client: str = "client", **more) -> dict:
    """The secured etcd with everything right, but for what `more` says."""
    pair = rig.certs.pair(client)
    settings = {"address": [rig.part("safe").tls_address], "enableAuth": True, "username": "root",
                "password": rig.part("safe").ROOT_PASSWORD, "enableTLS": True, "tlsMinVersion": "1.3",
                "tlsCACertPath": str(rig.certs.ca), "tlsCertPath": str(pair.cert), "tlsKeyPath": str(pair.key)}
    return etcd(rig.part("safe"), **(settings | more))


def mysql(part, root: str = "cdc") -> dict:
    return {"storeType": "mysql", "mysqlSourceUrl": part.dsn, "rootPath": root}


def sqlite(name: str) -> dict:
    return {"storeType": "sqlite", "sqlitePath": name, "rootPath": "cdc"}


def config(folder, name: str, store: dict):
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({
        "address": "127.0.0.1:0", "metaStoreConfig": store, "checkpointInterval": 100,
        "sourceConfig": {"etcd": {"address": ["127.0.0.1:1"]}, "replicateChan": "by-dev-replicate-msg",
                         "kafka": {"address": "127.0.0.1:1"}}}))
    path.chmod(0o600)
    return path


def migrate(folder, origin: dict, target: dict, *words: str, code: int = 0) -> str:
    """What it prints, to standard error when it is to fail."""
    files = config(folder, "from", origin), config(folder, "to", target)
    done = subprocess.run([default_binary(), "migrate-store", "--from", files[0], "--to", files[1], *words],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr and "secret" not in done.stdout + done.stderr
    return done.stderr if code else done.stdout


def task_record(state: int = 1) -> bytes:
    """As the reference writes it, with a field of a newer one."""
    return json.dumps({
        "TaskID": TASK, "MilvusConnectParam": {
            "host": "", "port": 0, "enable_tls": False, "uri": "http://10.0.0.1:19530", "token": "root:secret",
            "dial_config": {}, "channel_num": 0, "ignore_partition": False, "connect_timeout": 10},
        "KafkaConnectParam": {"address": "", "topic": "", "enable_sasl": False, "sasl": {}},
        "WriterCacheConfig": {"period": 0, "size": 0}, "CollectionInfos": None,
        "DBCollections": {"*": [{"name": "*", "positions": None, "use_start_position": False}]},
        "NameMapping": None, "RPCRequestChannelInfo": {"name": "", "position": ""},
        "ExtraInfo": {"enable_user_role": False}, "ExcludeCollections": ["default.foo"],
        "DisableAutoStart": False, "State": state, "Reason": "", "Newer": {"field": [1, None]},
    }, separators=(",", ":")).encode()


def document(collection: int, channel: str, task: str = TASK) -> bytes:
    pair = {"StartTime": 0, "Time": 1700000000000, "DataPair": {"key": channel, "data": "CAEQAg=="}, "Dropped": False}
    return json.dumps({"TaskID": task, "CollectionID": collection, "CollectionName": "foo",
                       "Positions": {channel: pair}, "OpPositions": None, "TargetPositions": None},
                      separators=(",", ":")).encode()


def plant(part, root: str) -> None:
    part.put(f"{root}/task_info/{TASK}", task_record())
    part.put(f"{root}/task_position/{TASK}/449", document(449, "by-dev-rootcoord-dml_0"))
    part.put(f"{root}/task_position/{TASK}/-10", document(-10, "by-dev-replicate-msg"))
    part.put(f"{root}/task_position/deleted/1", document(1, "x", "deleted"))
    part.put(f"{root}/ext/object/{TASK}/449", b'{"state":"Running"}')


def records(part, root: str) -> dict:
    """Without what names the writer."""
    return {k.removeprefix(root): json.loads(v) for k, v in part.prefix(root + "/").items()
            if not k.endswith("ext_owner") and "/deleted/" not in k}


def test_copies_with_other_keys(stores, tmp_path):
    """Encrypted on the way in, with another key on the way on, in the clear on the way back; without the key nothing."""
    plain = stores.part("etcd")
    plant(plain, "open")
    keys = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.keys"
        path.write_text(subprocess.run(["openssl", "rand", "-base64", "32"], check=True, capture_output=True,
                                       text=True).stdout)
        path.chmod(0o600)
        keys.append({"encryptionKeyFile": str(path)})
    closed = etcd(plain, "closed")
    migrate(tmp_path, etcd(plain, "open"), closed | keys[0])
    stored = records(plain, "closed")[f"/task_info/{TASK}"]
    assert stored["MilvusConnectParam"]["token"].startswith("$cdc-sealed1$")
    assert stored["Newer"] == {"field": [1, None]}
    other = mysql(stores.part("mariadb"), "sealed")
    migrate(tmp_path, closed | keys[0], other | keys[1])
    for wrong in (other, other | keys[0]):
        assert "encryptionKeyFile" in migrate(tmp_path, wrong, etcd(plain, "nowhere"), code=1)
    migrate(tmp_path, other | keys[1], etcd(plain, "back"))
    task = f"/task_info/{TASK}"
    assert records(plain, "back")[task] == records(plain, "open")[task]


def test_copies_between_all_kinds(stores, tmp_path):
    """etcd, SQLite, MySQL, etcd with users and TLS, etcd: at the end what it was at the beginning."""
    plain = stores.part("etcd")
    plant(plain, "begin")
    chain = [etcd(plain, "begin"), sqlite("a.db"), mysql(stores.part("mariadb")), safe(stores), sqlite("b.db"),
             etcd(plain, "end")]
    looked = migrate(tmp_path, chain[0], chain[1], "--dry-run")
    assert "1 tasks, 2 positions, 1 other records: would be copied" in looked
    assert not (tmp_path / "a.db").exists()
    for origin, target in zip(chain, chain[1:]):
        assert "1 tasks, 2 positions, 1 other records: copied, read back and equal" in migrate(
            tmp_path, origin, target)
        assert "all there already" in migrate(tmp_path, origin, target)
    first, last = records(plain, "begin"), records(plain, "end")
    assert first.keys() == last.keys()
    task, doc = f"/task_info/{TASK}", f"/task_position/{TASK}/449"
    assert first[task] == last[task]
    assert first[doc]["Positions"] == last[doc]["Positions"]
    assert first[f"/ext/object/{TASK}/449"] == last[f"/ext/object/{TASK}/449"]


def test_obstacles(stores, tmp_path):
    plain = stores.part("etcd")
    plant(plain, "full")
    plain.put(f"full/task_info/{TASK}", task_record(state=2))
    plant(plain, "bad")
    plain.put("bad/task_info/torn", b'{"TaskID":')
    plant(plain, "good")
    good = etcd(plain, "good")
    assert "holds something else already (task/" in migrate(tmp_path, good, etcd(plain, "full"), code=1)
    assert records(plain, "full")[f"/task_info/{TASK}"]["State"] == 2
    migrate(tmp_path, good, etcd(plain, "full"), "--force")
    assert records(plain, "full")[f"/task_info/{TASK}"]["State"] == 1
    assert "1 damaged records (task record)" in migrate(tmp_path, etcd(plain, "bad"), sqlite("c.db"), code=1)
    assert "1 damaged records are left out" in migrate(tmp_path, etcd(plain, "bad"), sqlite("c.db"), "--force")
    assert "no SQLite file" in migrate(tmp_path, sqlite("none.db"), good, code=1)
    assert "wants --from FILE and --to FILE" in subprocess.run(
        [default_binary(), "migrate-store"], capture_output=True, text=True, timeout=60).stderr


def test_a_store_in_use_is_refused(stores, tmp_path):
    """SQLite by its lock; etcd because its owner key moves."""
    migrate(tmp_path, etcd(stores.part("etcd"), "nothing"), sqlite("used.db"))
    held = sqlite3.connect(tmp_path / "used.db")
    held.close()
    plain = stores.part("etcd")
    plant(plain, "used")
    owner = {"owner": "x", "process": "7 on elsewhere"}
    plain.put("used/ext_owner", json.dumps(owner).encode())
    files = config(tmp_path, "from", etcd(plain, "used")), config(tmp_path, "to", sqlite("new.db"))
    running = subprocess.Popen([default_binary(), "migrate-store", "--from", files[0], "--to", files[1]],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while running.poll() is None:
        plain.put("used/ext_owner", json.dumps(owner).encode())
    assert running.returncode == 1
    assert "in use by a running server" in (said := running.stderr.read()) and "7 on elsewhere" in said
    assert not (tmp_path / "new.db").exists()


def test_a_server_that_writes_nothing_is_seen(stores, tmp_path):
    """Its owner key stands still; it answers at the address of the configuration."""
    plain = stores.part("etcd")
    plant(plain, "still")
    plain.put("still/ext_owner", json.dumps({"owner": "x", "process": "7 on elsewhere"}).encode())
    server = Server(tmp_path, {"metaStoreConfig": etcd(plain, "still")}).wait()
    try:
        done = subprocess.run([default_binary(), "migrate-store", "--from", server.config, "--to",
                               config(tmp_path, "to", sqlite("new.db"))], capture_output=True, text=True, timeout=60)
    finally:
        server.stop()
    assert done.returncode == 1 and f"a running server answers at 127.0.0.1:{server.port}" in done.stderr, done.stderr
    assert not (tmp_path / "new.db").exists()


BAD = {
    "wrong password": ({"password": "wrong"}, "authentication failed"),
    "no user": ({"enableAuth": False}, "permission denied"),  # the certificate names one without rights
    "another authority": ({"tlsCACertPath": "other"}, "which is not in /"),
    "the system's authorities": ({"tlsCACertPath": ""}, "which is not in the system's roots"),
    "no certificate of ours": ({"tlsCertPath": "", "tlsKeyPath": ""}, "certificate"),
    "a certificate of another authority": ({"client": "other-client"}, "certificate"),
    "TLS is off": ({"enableTLS": False}, "metastore etcd"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_secured_etcd_names_the_cause(stores, tmp_path, name):
    change, text = BAD[name]
    change = dict(change)
    if change.get("tlsCACertPath") == "other":
        change["tlsCACertPath"] = str(stores.certs.other_ca)
    said = migrate(tmp_path, safe(stores, **change), sqlite("x.db"), "--dry-run", code=1)
    assert text in said, said
    assert not (tmp_path / "x.db").exists()


def test_an_ended_certificate_is_named(stores, tmp_path):
    part = stores.part("ended")
    ended = etcd(part, address=[part.tls_address], enableTLS=True, tlsCACertPath=str(stores.certs.ca))
    assert "certificate has expired" in migrate(tmp_path, ended, sqlite("x.db"), "--dry-run", code=1)


def test_a_dead_endpoint_is_passed_over(stores, tmp_path):
    dead = "127.0.0.1:1"
    both = safe(stores, address=[dead, stores.part("safe").tls_address])
    assert "would be copied" in migrate(tmp_path, both, sqlite("x.db"), "--dry-run")
