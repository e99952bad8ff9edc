"""A metastore as the Go server leaves it, with real positions of a real source: our server carries its tasks on,
and what it writes back is what the Go server reads."""

from __future__ import annotations

import base64
import json
import sqlite3

import pytest

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until

RUNNING, PAUSED = "6623ae52d35842a5a2c9d89b16ed7aa1", "0f0e0d0c0b0a49089807060504030201"
REPLICATE, USER = -10, -1
MANUAL = "manually pause through http interface"
MAPS = ("Positions", "OpPositions", "TargetPositions")


class EtcdStore:
    """Keys and values of the Go server in etcd."""

    def __init__(self, rig, root: str):
        self.part, self.root = rig.part("etcd"), root
        self.config = {"metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [self.part.address]},
                                           "rootPath": root}}

    def plant_task(self, task: dict) -> None:
        self.part.put(f"{self.root}/task_info/{task['TaskID']}", compact(task).encode())

    def plant_document(self, document: dict) -> None:
        key = f"{self.root}/task_position/{document['TaskID']}/{document['CollectionID']}"
        self.part.put(key, compact(document).encode())

    def plant_strangers(self) -> None:
        """What else lies there: leftovers of half finished drops, and keys of others, no JSON among them."""
        drop = {"base": {"task_id": RUNNING, "msg_id": "drop-collection-1", "target_channels": ["a_1v0"],
                         "ready_channels": []}, "type": 1,
                "data": {"database_name": "default", "collection_name": "old", "drop_ts": 449000000000000123}}
        self.strangers = {f"/task_msg/{RUNNING}/drop-collection-1": compact(drop).encode(),
                          f"{self.root}/task_msg/{RUNNING}/drop-collection-1": compact(drop).encode(),
                          f"{self.root}/lock": b"\x00\xffnot json", f"{self.root}2/task_info/x": b"elsewhere"}
        for key, value in self.strangers.items():
            self.part.put(key, value)

    def strangers_are_untouched(self) -> bool:
        return all(self.part.prefix(key).get(key) == value for key, value in self.strangers.items())

    def task(self, task: str) -> dict:
        return json.loads(self.part.prefix(f"{self.root}/task_info/{task}")[f"{self.root}/task_info/{task}"])

    def documents(self, task: str) -> dict:
        found = self.part.prefix(f"{self.root}/task_position/{task}/").values()
        return {d["CollectionID"]: d for d in map(json.loads, found)}


class MySQLStore:
    """The same in the tables that the Go server makes, in a database with the default collation."""

    TABLES = (
        "CREATE TABLE IF NOT EXISTS task_info(task_info_key varchar(255) not null, task_id varchar(255) not null,"
        " task_info_value json not null, primary key(task_info_key), index idx_key(task_info_key),"
        " index idx_task_id(task_id))",
        "CREATE TABLE IF NOT EXISTS task_position(task_position_key varchar(255) not null,"
        " task_id varchar(255) not null, collection_id bigint not null, collection_name varchar(255) not null,"
        " task_position_value json not null, op_position_value json, target_position_value json,"
        " primary key(task_position_key), index idx_key(task_position_key), index idx_task_id(task_id),"
        " index idx_collection_id(collection_id))",
        "CREATE TABLE IF NOT EXISTS task_msg(task_msg_key varchar(255) not null, task_msg_value json not null,"
        " primary key(task_msg_key), index idx_key(task_msg_key))")

    def __init__(self, rig, root: str):
        self.part = rig.parts.get("mariadb") or rig.mariadb()
        self.root = root
        self.config = {"metaStoreConfig": {"storeType": "mysql", "mysqlSourceUrl": self.part.dsn,
                                           "rootPath": root}}
        for table in self.TABLES:
            self.part.sql(table)

    def insert(self, table: str, *values) -> None:
        words = ("NULL" if v is None else str(v) if isinstance(v, int) else "'" + v.replace("'", "''") + "'"
                 for v in values)
        self.part.sql(f"INSERT INTO {table} VALUES({', '.join(words)})")

    def plant_task(self, task: dict) -> None:
        self.insert("task_info", f"{self.root}/task_info/{task['TaskID']}", task["TaskID"], compact(task))

    def plant_document(self, document: dict) -> None:
        maps = [document[name] for name in MAPS]
        self.insert("task_position", f"{self.root}/task_position/{document['TaskID']}/{document['CollectionID']}",
                    document["TaskID"], document["CollectionID"], document["CollectionName"],
                    compact(maps[0]), None if maps[1] is None else compact(maps[1]), compact(maps[2]))

    def plant_strangers(self) -> None:
        self.insert("task_msg", f"{self.root}/task_msg/{RUNNING}/drop-collection-1", compact({"type": 1}))
        self.insert("task_info", f"{self.root}2/task_info/{RUNNING}", RUNNING, compact({"TaskID": "elsewhere"}))

    def strangers_are_untouched(self) -> bool:
        other = self.part.sql(f"SELECT task_info_value FROM task_info WHERE task_info_key LIKE '{self.root}2/%'")
        left = self.part.sql(f"SELECT count(*) FROM task_msg WHERE task_msg_key LIKE '{self.root}/%'")
        return other.strip() == compact({"TaskID": "elsewhere"}) and left.strip() == "1"

    def task(self, task: str) -> dict:
        return json.loads(self.part.sql("SELECT JSON_COMPACT(task_info_value) FROM task_info"
                                        f" WHERE task_info_key = '{self.root}/task_info/{task}'"))

    def documents(self, task: str) -> dict:
        rows = self.part.sql(
            "SELECT collection_id, collection_name, JSON_COMPACT(task_position_value),"
            " JSON_COMPACT(op_position_value), JSON_COMPACT(target_position_value) FROM task_position"
            f" WHERE task_position_key LIKE '{self.root}/task\\_position/{task}/%'")
        found = {}
        for row in rows.splitlines():
            number, name, *maps = row.split("\t")
            found[int(number)] = {"TaskID": task, "CollectionID": int(number), "CollectionName": name,
                                  **{key: None if text == "NULL" else json.loads(text)
                                     for key, text in zip(MAPS, maps)}}
        return found


def compact(value) -> str:
    return json.dumps(value, separators=(",", ":"))


def task_record(task: str, target, name: str, state: int, reason: str = "") -> dict:
    """The Go server's, and a field of a newer one."""
    return {"TaskID": task, "MilvusConnectParam": {
                "host": "", "port": 0, "enable_tls": False, "uri": target.uri, "token": target.token or "x:y",
                "dial_config": {}, "channel_num": 0, "ignore_partition": False, "connect_timeout": 10},
            "KafkaConnectParam": {"address": "", "topic": "", "enable_sasl": False, "sasl": {}},
            "WriterCacheConfig": {"period": 0, "size": 0},
            "CollectionInfos": [{"name": name, "positions": None, "use_start_position": False}],
            "DBCollections": None, "NameMapping": None, "RPCRequestChannelInfo": {"name": "", "position": ""},
            "ExtraInfo": {"enable_user_role": False}, "ExcludeCollections": None, "DisableAutoStart": False,
            "State": state, "Reason": reason, "Newer": {"field": [1, None, "x"]}}


def positions_of(cdc, task: str) -> dict:
    """What a stopped server of ours has in its file, as the Go server would have written it."""
    rows = sqlite3.connect(cdc.path("milvus-cdc.db")).execute(
        "SELECT collection_id, collection_name, task_position_value FROM task_position WHERE task_id = ?", (task,))
    found = {}
    for number, name, text in rows:
        entries = json.loads(text)
        for entry in entries.values():
            entry.pop("Ext", None)
        found[number] = {"CollectionID": number, "CollectionName": name, "Positions": entries,
                         "OpPositions": None, "TargetPositions": {}}
    return found


def assert_the_go_server_reads(document: dict) -> None:
    """Field by field; what we add stands apart, and Time never lies behind what it stands for."""
    for name in MAPS:
        for channel, entry in (document[name] or {}).items():
            assert entry.keys() - {"Ext"} == {"StartTime", "Time", "DataPair", "Dropped"}
            assert isinstance(entry["Time"], int) and isinstance(entry["Dropped"], bool)
            assert entry["DataPair"]["key"] == channel
            assert base64.b64decode(entry["DataPair"].get("data", ""), validate=True) is not None
            if "Ext" in entry and entry["Time"]:  # with 0 the Go server goes by the id alone
                assert entry["Time"] + 1 << 18 <= int(entry["Ext"]["TS"])


@pytest.mark.parametrize("kind", [EtcdStore, MySQLStore])
def test_take_over_and_way_back(new_cdc, rig, source, target, kind):
    name = fresh("over")
    before = new_cdc()
    first = before.create(target, {"default": [{"name": name}]})
    collection = simple("source", name, shards_num=2)
    fill(collection, range(200))
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    before.stop()
    made = positions_of(before, first)
    real = next(number for number in made if number > 0)

    store = kind(rig, fresh("r_t"))
    store.plant_strangers()
    store.plant_task(task_record(RUNNING, target, name, 1))
    store.plant_task(task_record(PAUSED, target, fresh("never"), 2, MANUAL))
    for document in made.values():
        store.plant_document({"TaskID": RUNNING, **document})
    store.plant_document({"TaskID": PAUSED, **made[real], "CollectionID": USER, "CollectionName": "-1"})
    collection.delete("id in [1, 2, 3]")
    fill(collection, range(200, 400))  # while nobody replicates

    after = new_cdc(store.config)
    wait_until(lambda: {t["task_id"] for t in after.list()} == {RUNNING, PAUSED}, 20, "both tasks are loaded")
    wait_until(lambda: after.get(RUNNING)["state"] == "Running", 20, "the running one runs")
    shown = after.get(PAUSED)
    assert (shown["state"], shown["reason"]) == ("Paused", MANUAL)
    fill(collection, range(400, 500))
    wait_equal(collection, copy, timeout=60)  # also counts: nothing lost, nothing doubled
    assert store.task(PAUSED) == task_record(PAUSED, target, store.task(PAUSED)["CollectionInfos"][0]["name"], 2,
                                             MANUAL)
    after.pause_task(RUNNING)
    assert (store.task(RUNNING)["State"], store.task(RUNNING)["Reason"]) == (2, MANUAL)
    after.resume_task(RUNNING)
    fill(collection, range(500, 600))
    wait_equal(collection, copy, timeout=60)
    after.stop()

    expected = task_record(RUNNING, target, name, 1)
    left = store.task(RUNNING)
    left.pop("UserPaused", None)
    assert left == expected  # every field of the Go server, and the one it does not know yet
    documents = store.documents(RUNNING)
    assert {real, REPLICATE} <= documents.keys()
    assert documents[real]["CollectionName"] == name
    assert documents[real]["Positions"].keys() == made[real]["Positions"].keys()
    for channel, entry in documents[real]["Positions"].items():
        assert entry["Time"] > made[real]["Positions"][channel]["Time"]
    for document in documents.values():
        assert_the_go_server_reads(document)
    assert store.documents(PAUSED).keys() == {USER}
    assert store.strangers_are_untouched()
