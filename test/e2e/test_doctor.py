"""The doctor names each mistake. Each look holds several mistakes that do not hide one another."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import re
import resource
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from pymilvus import Collection, db, utility

from helpers import fresh, simple, wait_until
from queues import channels_of
from rig.server import REPOSITORY, default_binary
from synthetic import Synthetic

MANY = 8192  # file descriptors


class Look(dict):
    """One run: its findings by code, and what it printed."""

    exit: int


@pytest.fixture(scope="module")
def base(rig, source, queue):
    """A configuration of the real source, with a metastore that is not there yet."""
    folder = rig.dir / "doctor"
    folder.mkdir(exist_ok=True)
    etcd = rig.part("etcd")
    broker = {"kafka": {"address": rig.part("kafka").address}} if queue == "kafka" else \
        {"pulsar": {"address": rig.part("pulsar").url}}
    return folder, {
        "address": "127.0.0.1:0", "metaStoreConfig": {"storeType": "sqlite", "sqlitePath": str(folder / "none.db")},
        "sourceConfig": {"etcd": {"address": [etcd.address], "rootPath": "source", "metaSubPath": "meta"},
                         "replicateChan": source.replicate_channel, **broker}}


@pytest.fixture
def look(base):
    """look(changes, *words): a look with a configuration changed so; a value None removes a setting."""
    folder, config = base

    def run(changes: dict | None = None, *words: str, request: dict | None = None, files: int = MANY) -> Look:
        made = copy.deepcopy(config)
        merge(made, changes or {})
        path = folder / f"{fresh('doctor')}.yaml"
        path.write_text(yaml.safe_dump(made))
        return doctor(path, *words, request=request, files=files)

    return run


def merge(into: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def doctor(config, *words: str, request: dict | None = None, files: int = MANY) -> Look:
    more: list[str] = []
    if request is not None:
        path = config.with_suffix(f".{fresh('request')}.json")
        path.write_text(json.dumps(request))
        more = ["--request", str(path)]
    done = subprocess.run([default_binary(), "doctor", "--json", "--config", str(config), *words, *more],
                          capture_output=True, text=True, timeout=120,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    found = Look()
    for finding in answer["findings"]:
        found.setdefault(finding["code"].removeprefix("DOC-"), []).append(finding)
    found.exit = done.returncode
    assert found.exit == (2 if answer["errors"] else 1 if answer["warnings"] else 0)
    return found


def seen(look_: Look, code: str) -> str:
    assert code in look_, look_
    return "\n".join(f"{f['subject']}: {f['seen']}" for f in look_[code])


def task(target, *names: str, **more) -> dict:
    return {"milvus_connect_param": {"uri": target.uri, "connect_timeout": 5},
            "db_collections": {"default": [{"name": n} for n in names or ("*",)]}, **more}


@contextlib.contextmanager
def dead_port():
    """An address where nobody answers; nobody else gets it meanwhile."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{s.getsockname()[1]}"


@pytest.mark.both_queues
def test_in_order(look, source, target):
    name = simple("source", load=False).name
    found = look({}, request=task(target, name))
    bad = {code for code, l in found.items() if l[0]["severity"] == "error"}
    assert not bad, found
    # a target without its replicate topic is told apart from one that refuses
    assert not {"TARGET-PROBE", "TARGET-MODE", "TARGET-AUTH", "QUEUE-RETENTION", "LIMIT-FILES"} & set(found), found


def test_wrong_prefixes(look, rig):
    with dead_port() as nobody:
        found = look({"sourceConfig": {"etcd": {"rootPath": "by-dev"}},
                      "metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [nobody]}, "rootPath": "x"}})
    assert found.exit == 2
    assert "source" in seen(found, "ETCD-ROOT") and "target" in seen(found, "ETCD-ROOT")
    assert nobody.split(":")[1] in seen(found, "STORE-UNREACHABLE")

    rig.part("etcd").put("damaged/task_info/lost", b"{")
    found = look({"sourceConfig": {"etcd": {"metaSubPath": "metadata"}},
                  "metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [rig.part("etcd").address]},
                                      "rootPath": "damaged"}})
    assert found["ETCD-META-PATH"][0]["fix"] == "set sourceConfig.etcd.metaSubPath to meta"
    assert "lost" in seen(found, "STORE-DAMAGED")


def test_etcd_away_and_certificates(look, rig):
    certs = rig.certs
    with dead_port() as nobody:
        etcd = {"address": [nobody], "enableTLS": True, "tlsCACertPath": str(certs.ca)}
        for pair, code in (("client", "CERT-SOON"), ("expired", "CERT-EXPIRED")):
            files = {"tlsCertPath": str(certs.pair(pair).cert), "tlsKeyPath": str(certs.pair(pair).key)}
            found = look({"sourceConfig": {"etcd": etcd | files}})
            assert nobody in seen(found, "ETCD-UNREACHABLE")
            assert pair in seen(found, code) and "tlsCertPath" in seen(found, code)
    request = task(rig.part("target"))
    request["milvus_connect_param"]["dial_config"] = {"server_pem_path": str(certs.garbled())}
    assert "garbled" in seen(look({"sourceConfig": {"etcd": {"rootPath": "by-dev"}}}, request=request),
                             "CERT-UNREADABLE")


def test_the_api_itself(look, rig):
    certs, keys = rig.certs, {}
    with dead_port() as nobody:
        away = {"sourceConfig": {"etcd": {"address": [nobody]}}}
        found = look({"address": "0.0.0.0:0", **away})
        assert "0.0.0.0:0" in seen(found, "API-OPEN") and "api.writeToken" in found["API-OPEN"][0]["fix"]
        for pair, code in (("client", "CERT-SOON"), ("expired", "CERT-EXPIRED")):
            keys = {"tlsCertPath": str(certs.pair(pair).cert), "tlsKeyPath": str(certs.pair(pair).key)}
            found = look({"address": "0.0.0.0:0", "api": {"writeToken": "a-token-that-may-write", **keys}, **away})
            assert "api.tlsCertPath" in seen(found, code) and "restart the server" in found[code][0]["fix"]
            assert "API-OPEN" not in found and "a-token" not in str(found)


def test_etcd_login(look, rig):
    locked = rig.etcd("locked", auth=True)
    try:
        for login in ({}, {"enableAuth": True, "username": "root", "password": "wrong-secret"}):
            found = look({"sourceConfig": {"etcd": {"address": [locked.address], **login}}})
            assert locked.address in seen(found, "ETCD-AUTH") and "wrong-secret" not in str(found)
    finally:
        rig.remove(locked)


@pytest.mark.only_queue("kafka")
def test_queue_away(look, rig):
    with dead_port() as nobody:
        found = look({"sourceConfig": {"kafka": {"address": nobody}}})
    assert nobody in seen(found, "QUEUE-UNREACHABLE")
    kafka = rig.part("kafka")
    found = look({"sourceConfig": {"kafka": {
        "address": kafka.listener("SASL_PLAINTEXT"), "saslUsername": "cdc", "saslPassword": "not-the-password",
        "saslMechanisms": "PLAIN", "securityProtocol": "SASL_PLAINTEXT"}}})
    assert "QUEUE-AUTH" in found and "not-the-password" not in str(found)


@pytest.mark.only_queue("kafka")
def test_another_queue_than_the_sources(look, rig, target):
    ghost = Synthetic(rig)
    ghost.collection("c", shards=1)
    write, ghost.send = ghost.send, lambda *_, **__: 0
    lost = ghost.collection("lost", shards=2)
    ghost.send = write
    clock = base64.b64encode(f"{ghost.name}/kv/gid/timestamp".encode()).decode()
    rig.part("etcd").call("kv/deleterange", {"key": clock})
    change = ghost.config()
    change["sourceConfig"].update(replicateChan=f"{ghost.name}-nothing", pulsar=None)
    found = look(change, request=task(target, "absent"))
    assert "1 of the 2" in seen(found, "QUEUE-TOPIC") and lost.pchannels[1] in seen(found, "QUEUE-TOPIC")
    assert lost.pchannels[0] in seen(found, "QUEUE-SILENT")
    assert f"{ghost.name}-nothing" in seen(found, "QUEUE-REPLICATE")
    assert "kv/gid/timestamp" in seen(found, "ETCD-TIMESTAMP")
    assert "2 collections" in seen(found, "TASK-NOTHING")

    hollow = Synthetic(rig)
    change = hollow.config()
    change["sourceConfig"]["pulsar"] = None
    assert "CATALOG-EMPTY" in look(change, request=task(target))


@pytest.mark.only_queue("kafka")
def test_wrong_machine_settings_and_a_target_that_is_no_replica(look, rig, source):
    name = simple("source", load=False).name
    with socket.socket() as s, dead_port() as nobody:
        s.bind(("127.0.0.1", 0))
        s.listen()
        busy = f"127.0.0.1:{s.getsockname()[1]}"
        found = look({"address": busy, "noSuchSetting": 1,
                      "sourceConfig": {"etcd": {"address": [rig.part("etcd").address, nobody]}}},
                     "--outage", "3000d", request=task(source, name), files=250)
    assert busy in seen(found, "PORT-TAKEN")
    assert "noSuchSetting" in seen(found, "CONFIG-WARNING")
    assert nobody in seen(found, "ETCD-MEMBER")
    assert "72000 h" in seen(found, "QUEUE-RETENTION")
    assert "250" in seen(found, "LIMIT-FILES")
    # the target is the source itself
    assert "1900" in seen(found, "TARGET-MODE")
    assert name in seen(found, "TARGET-SAME")


def test_what_the_target_has_already(look, source, target):
    prefix = fresh("d")
    names = {kind: f"{prefix}_{kind}" for kind in ("same", "schema", "shards", "alias", "one", "two")}
    for name in names.values():
        simple("source", name, load=False, shards_num=1)
    db.create_database(prefix, using="source")
    simple("target", names["same"], load=False, shards_num=1)
    simple("target", names["schema"], dim=16, load=False, shards_num=1)
    simple("target", names["shards"], load=False, shards_num=2)
    utility.create_alias(names["same"], names["alias"], using="target")
    try:
        request = {"milvus_connect_param": {"uri": target.uri},
                   "collection_infos": [{"name": name} for name in names.values()],
                   "name_mapping": [{"source_db": "default", "target_db": "default",
                                     "collection_mapping": {names["one"]: prefix, names["two"]: prefix}}]}
        found = look({}, request=request)
        assert "type parameters" in seen(found, "TARGET-SCHEMA") and names["schema"] in seen(found, "TARGET-SCHEMA")
        assert f"{names['shards']} has 2 shards there, 1 at the source" in seen(found, "TARGET-SHARDS")
        assert names["alias"] in seen(found, "TARGET-ALIAS")
        assert names["same"] in seen(found, "TARGET-EXISTS") and names["schema"] not in seen(found, "TARGET-EXISTS")
        assert f"{names['one']} and {names['two']}" in seen(found, "TASK-MEETING") or \
            f"{names['two']} and {names['one']}" in seen(found, "TASK-MEETING")
        assert prefix in seen(found, "TASK-UNCOVERED")
    finally:
        db.drop_database(prefix, using="source")
        utility.drop_alias(names["alias"], using="target")
        for kind in ("same", "schema", "shards"):
            utility.drop_collection(names[kind], using="target")


def test_configuration_that_can_not_be_used(look):
    found = look({"maxTaskNum": "many", "metaStoreConfig": {"sqlitePath": "/nowhere/cdc.db"}})
    assert "maxTaskNum" in seen(found, "CONFIG-INVALID") and "/nowhere" in seen(found, "CONFIG-INVALID")
    assert found.exit == 2


def test_each_code_has_a_test():
    """Its mistake is made here, or by a fake in the unit test where no real peer can be made to."""
    table = (REPOSITORY / "src/server/doctor/doctor_table.h").read_text()
    here = Path(__file__).read_text()
    fakes = "".join((REPOSITORY / f"test/unit/server/doctor/{name}.c").read_text() for name in ("test_doctor", "test_doctor_catalog"))
    rows = re.findall(r'X\((\w+), "DOC-([A-Z-]+)"', table)
    assert len(rows) > 30
    assert not [code for name, code in rows if f"{code}\"" not in here and f"DOCTOR_CODE_{name})" not in fakes]


@pytest.mark.only_queue("kafka")
def test_beside_and_inside_a_server(new_cdc, rig, source, target):
    """The metastore of a running server; positions that the queue deletes soon, or does not have."""
    name = simple("source", load=False, shards_num=1).name
    store = {"storeType": "etcd", "etcd": {"address": [rig.part("etcd").address]}, "rootPath": fresh("store")}
    cdc = new_cdc(config={"metaStoreConfig": store})
    answer = cdc.ask("create", {**task(target, name), "task_id": "well"})
    assert answer["task_id"] == "well"
    collection = Collection(simple("source", load=False, shards_num=1).name, using="source")
    channel = channels_of(source, collection)[0]
    beyond = position(channel, 10**12)
    with dead_port() as nobody:
        lost = task(target, collection.name)
        lost["db_collections"]["default"][0]["positions"] = {vchannel(source, collection): beyond}
        cdc.ask("create", {**lost, "task_id": "lost"})
        found = cdc.ask("doctor", {"milvus_connect_param": {"uri": nobody, "connect_timeout": 1},
                                   "db_collections": {"default": [{"name": name}]}})
        assert any(f["code"] == "DOC-TARGET-UNREACHABLE" and nobody in f["subject"] for f in found["findings"])
    cdc.pause_task("well")
    # Kafka keeps a week; the position will be older than a second
    found = {}

    def expires() -> bool:
        nonlocal found
        found = doctor(cdc.config_path, "--outage", f"{7 * 24 * 3600 - 1}s")
        return "QUEUE-EXPIRES" in found

    wait_until(expires, 30, "the position expires", pause=0.5)
    assert "PORT-OURS" in found and "PORT-TAKEN" not in found
    assert "task well" in seen(found, "QUEUE-EXPIRES")
    assert "task lost" in seen(found, "QUEUE-GONE")
    assert "QUEUE-GONE" not in doctor(cdc.config_path, "--task", "well")
    # the server looks by itself, and get shows it
    codes = {f["code"] for f in cdc.ask("doctor", {"task_id": "lost"})["findings"]}
    assert "DOC-QUEUE-GONE" in codes
    assert "DOC-QUEUE-GONE" in {f["code"] for f in cdc.get("lost")["detail"]["findings"]}
    assert cdc.post("doctor", {"task_id": "nobody"})["code"] == 400
    # another server on the same metastore
    second = new_cdc(config={"metaStoreConfig": store})
    second.pause_task("lost")
    codes = {f["code"]: f for f in cdc.ask("doctor")["findings"]}
    assert "DOC-STORE-TAKEN" in codes, codes


def test_a_create_says_what_is_wrong(new_cdc, source):
    """The source as its own target: the task is made, as ever, and the answer says why it will not work."""
    cdc = new_cdc()
    name = simple("source", load=False).name
    answer = cdc.ask("create", {**task(source, name), "task_id": "wrong"})
    codes = {f["code"] for f in answer["findings"]}
    assert {"DOC-TARGET-MODE", "DOC-TARGET-SAME"} <= codes
    assert codes == {f["code"] for f in cdc.get("wrong")["detail"]["findings"]}


def position(channel: str, offset: int) -> str:
    from synthetic import text

    return base64.b64encode(text(1, channel) + text(2, offset.to_bytes(8, "little"))).decode()


def vchannel(milvus, collection) -> str:
    from pymilvus.grpc_gen import milvus_pb2

    stub, metadata = milvus.stub()
    answer = stub.DescribeCollection(milvus_pb2.DescribeCollectionRequest(collection_name=collection.name),
                                     timeout=10, metadata=metadata)
    return list(answer.virtual_channel_names)[0]
