"""verify on a real pair: it says identical when they are, and names every row when they are not."""

from __future__ import annotations

import json
import re
import subprocess
import threading

import pytest
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, utility
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from helpers import all_types, fill, fresh, simple, wait_collection, wait_equal, wait_until
from replicate import Replica, stamp

IDENTICAL, DIFFERENT, UNKNOWN = range(3)


class Tamper(Replica):
    """Writes behind the server's back into a collection (a key and a vector, one shard) that it replicates."""

    def __init__(self, target, name: str):
        self.target, self.name, self.varchar = target, name, False
        described = self.describe()
        self.id, self.shard = described.collectionID, described.virtual_channel_names[0]
        self.channel = described.physical_channel_names[0]
        self.collection = Collection(name, using=target.connect())
        self.partition = self._call("ShowPartitions", milvus_pb2.ShowPartitionsRequest(
            collection_name=name)).partitionIDs[0]

    def now(self) -> int:
        """A little ahead, so that no tick of the server is above it."""
        return stamp(self.target, 0.3)


@pytest.fixture
def server(new_cdc, source):
    return new_cdc(config=config(source))


def config(source, **more) -> dict:
    """Positions of idle collections, for which a pass waits, are stored every 20 intervals."""
    return {"sourceConfig": {"milvus": {"uri": source.uri}}, "checkpointInterval": 100, **more}


def words_of(cdc, task: str, *words: str) -> list[str]:
    return [cdc.options["binary"], "verify", task, *words, "--config", str(cdc.config_path)]


def verify(cdc, task: str, *words: str, code: int = IDENTICAL) -> dict:
    done = subprocess.run(words_of(cdc, task, "--json", *words), capture_output=True, text=True, timeout=120,
                          cwd=cdc.dir)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["result"] == ("identical", "different", "unknown")[code]
    return answer


def differences(answer: dict) -> set:
    return {(d["kind"], d.get("key"), d.get("partition")) for c in answer["collections"] for d in c["differences"]}


def of(answer: dict, name: str) -> dict:
    return next(c for c in answer["collections"] if c["collection"] == name)


def test_verify(server, source, target):
    """Every type and both kinds of keys; a name mapping; partitions; under load; then rows that are not equal."""
    every, named, tampered, dark = (fresh(n) for n in ("every", "named", "tampered", "dark"))
    task = server.create(target, {"default": [{"name": n} for n in (every, named, tampered, dark)]},
                         name_mapping=[{"source_db": "default", "target_db": "default",
                                        "collection_mapping": {named: f"{named}_copy"}}])
    left = {every: all_types("source", every, shards_num=2), tampered: simple("source", tampered, dim=4, shards_num=1),
            named: simple("source", named, varchar_pk=True, load=False), dark: simple("source", dark, load=False)}
    part = left[named].create_partition("side")
    left[named].create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    left[named].load()
    fill(left[every], range(-1000, 1500))
    fill(left[tampered], range(1000))
    hard = ["a'b", 'a"b', "a\\b", "a\nb", "\u00e4\u4e2d\U0001f600", "%", "a\x01"]
    fill(left[named], hard)
    fill(left[named], [f"{n:05}" for n in range(50)], partition_name=part.name)
    right = {name: wait_collection(f"{name}_copy" if name == named else name, "target")
             for name in (every, named, tampered)}
    wait_equal(left[tampered], right[tampered])

    # while rows come and go
    over = threading.Event()

    def load() -> None:
        turn = 0
        while not over.wait(0.05):
            turn += 1
            fill(left[every], range(2000 + turn * 10, 2010 + turn * 10))
            left[every].delete(f"id in [{turn}, {2000 + turn * 10}]")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        answer = verify(server, task, "--rate", "3000", code=UNKNOWN)
    finally:
        over.set()
        thread.join()
    assert of(answer, every)["result"] == of(answer, named)["result"] == "identical", answer
    assert of(answer, every)["rows"] >= 2000 and of(answer, named)["rows"] == len(hard) + 50
    assert of(answer, tampered)["rows"] == 1000 and of(answer, named)["target_collection"] == f"{named}_copy"
    assert of(answer, dark)["result"] == "unknown" and "load" in of(answer, dark)["reason"]

    hand = Tamper(target, tampered)
    at = hand.now()
    hand.send(hand.delete([3, 5], at), hand.insert({5: 7, 2000: 1}, at + 1))
    wanted = {("missing", 3, None), ("extra", 2000, None), ("differs", 5, None)}

    def seen() -> bool:
        return differences(verify(server, task, "--collection", tampered, code=DIFFERENT)) == wanted

    wait_until(seen, 30, "exactly the rows that differ are named")
    text = subprocess.run(words_of(server, task, "--collection", tampered), capture_output=True, text=True, timeout=60)
    assert "differs: 5 (v)" in text.stdout and "missing on the target: 3" in text.stdout, text
    assert text.returncode == DIFFERENT and not text.stderr
    assert "no collection default.nowhere" in subprocess.run(
        words_of(server, task, "--collection", "nowhere"), capture_output=True, text=True, timeout=60).stderr


def test_goes_on_and_rolls(new_cdc, source, target):
    """Killed, it goes on where it was; the server's own check finds a difference and tells the metric."""
    name = fresh("rolled")
    server = new_cdc(config=config(source, verify={"interval": 1, "rowsPerSecond": 100000}))
    task = server.create(target, {"default": [{"name": name}]})
    collection = simple("source", name, dim=4, shards_num=1)
    fill(collection, range(3000))
    copy = wait_collection(name, "target")

    def metric(which: str) -> float:
        found = re.search(rf'^milvus_cdc_verify_{which}{{task_id="{task}"}} (\S+)$', server.metrics(), re.M)
        return float(found[1]) if found else 0

    wait_until(lambda: metric("rows_total") >= 3000 and metric("identical_seconds") > 1.6e9, 60,
               "the rolling check finds all equal")
    state = server.dir / "verify.json"
    process = subprocess.Popen(words_of(server, task, "--state", str(state), "--rate", "200"), stderr=subprocess.PIPE)
    try:
        wait_until(lambda: state.exists() and kept(state).get("after"), 30, "some progress is kept")
    finally:
        process.kill()
        process.communicate()
    assert state.stat().st_mode & 0o077 == 0
    assert 0 < kept(state)["rows"] < 3000 and kept(state)["result"] == "open"

    hand = Tamper(target, name)
    at = hand.now()
    hand.send(hand.delete([0], at), hand.insert({0: 9}, at + 1))
    wait_until(lambda: metric("different") == 1, 60, "the rolling check finds the difference")
    # the row was seen before the kill, and is not read again
    assert verify(server, task, "--state", str(state))["rows"] == 3000
    assert kept(state)["result"] == "identical"
    assert differences(verify(server, task, code=DIFFERENT)) == {("differs", 0, None)}
    repaired = verify(server, task, "--repair")
    assert repaired["collections"][0]["repaired"] == 1
    wait_equal(collection, copy)
    wait_until(lambda: metric("different") == 0, 60, "the rolling check finds all equal again")


def kept(state) -> dict:
    return json.loads(state.read_text())["collections"][0]


def keyed(name: str) -> Collection:
    """A collection whose partitions Milvus chooses by a key."""
    fields = [FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=200),
              FieldSchema("tenant", DataType.VARCHAR, max_length=200, is_partition_key=True),
              FieldSchema("v", DataType.FLOAT_VECTOR, dim=4)]
    collection = Collection(name, CollectionSchema(fields), using="source", shards_num=2, num_partitions=4)
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    collection.insert([[f"k{n}" for n in range(40)], [f"t{n % 9}" for n in range(40)], [[n, 0, 0, 1] for n in range(40)]])
    return collection


def remove(target, name: str, keys: list) -> None:
    """Rows vanish from the target, whatever shard and partition they are in."""
    hand = Tamper(target, name)
    hand.varchar, hand.partition = isinstance(keys[0], str), -1
    channels = hand.describe()
    for hand.shard, hand.channel in zip(channels.virtual_channel_names, channels.physical_channel_names):
        hand.send(hand.delete(keys, hand.now()))


def test_repair(server, source, target):
    """What differs is made equal, in the shard and the partition where the stream and queries find it."""
    name, tenants = fresh("mended"), fresh("tenants")
    task = server.create(target, {"default": [{"name": name}, {"name": tenants}]})
    plain, by_key = all_types("source", name, shards_num=2), keyed(tenants)
    fill(plain, range(200))
    copies = [wait_collection(n, "target") for n in (name, tenants)]
    for pair in zip((plain, by_key), copies):
        wait_equal(*pair)
    remove(target, name, list(range(100)))
    remove(target, tenants, [f"k{n}" for n in range(30)])
    wait_until(lambda: verify_result(server, task)["different"] == 130, 30, "the rows are missing")
    answer = verify(server, task, "--repair")
    assert (answer["rows"], of(answer, name)["repaired"], of(answer, tenants)["repaired"]) == (240, 100, 30)
    for pair in zip((plain, by_key), copies):
        wait_equal(*pair)
    for n in range(9):  # a query by the partition key looks into one partition only
        found = [sorted(r["id"] for r in c.query(f'tenant == "t{n}"', consistency_level="Strong"))
                 for c in (by_key, copies[1])]
        assert found[0] == found[1] and found[0]
    plain.delete(f"id in {list(range(0, 50))}")  # the deletes find them
    by_key.delete(f"id in {json.dumps([f'k{n}' for n in range(15)])}")
    for pair in zip((plain, by_key), copies):
        wait_equal(*pair)
    server.pause_task(task)
    done = subprocess.run(words_of(server, task, "--wait", "1"), capture_output=True, text=True, timeout=60)
    assert done.returncode == UNKNOWN and "Paused" in done.stdout and f"task get {task}" in done.stdout, done


def test_ignore_partition(server, source, target):
    """Rows of a partition that the target lacks stand in its default one: they are equal, and stay."""
    name = fresh("flat")
    task = server.create(target, {"default": [{"name": name}]}, milvus_connect_param={"ignore_partition": True})
    collection = simple("source", name, dim=4, shards_num=1)
    collection.create_partition("side")
    fill(collection, range(20))
    fill(collection, range(100, 120), partition_name="side")
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    assert verify(server, task)["rows"] == 40
    remove(target, name, [5, 105])
    wait_until(lambda: verify_result(server, task)["different"] == 2, 30, "the rows are missing")
    assert verify(server, task, "--repair")["collections"][0]["repaired"] == 2
    wait_equal(collection, copy)
    params = {"task_id": task, "keys": [105], "partition": "side",
              "collection_id": verify(server, task)["collections"][0]["collection_id"]}
    refused = server.ask("maintenance", {"operation": "repair", "params": params})
    assert "with ignore_partition" in json.dumps(refused), refused


def test_keys_that_stand_twice(server, source, target):
    """A query with a limit leaves out rows of segments that hold keys twice; verify sees them."""
    name = fresh("twice")
    task = server.create(target, {"default": [{"name": name}]})
    collection = simple("source", name, dim=4, shards_num=1)
    for _ in range(2):
        fill(collection, range(2000))
    collection.flush()
    wait_collection(name, "target")
    for side in ("source", "target"):
        wait_until(lambda side=side: sealed_rows(name, side) == 4000, 60, f"all are in sealed segments of {side}")
    assert verify(server, task)["rows"] == 2000
    remove(target, name, [1500])
    wait_until(lambda: verify_result(server, task)["different"], 30, "the row is missing")
    answer = verify(server, task, code=DIFFERENT)
    assert differences(answer) == {("missing", 1500, None)} and answer["rows"] == 1999


def sealed_rows(name: str, side: str) -> int:
    segments = utility.get_query_segment_info(name, using=side)
    return sum(s.num_rows for s in segments if s.state == common_pb2.SegmentState.Sealed)


def verify_result(server, task: str) -> dict:
    done = subprocess.run(words_of(server, task, "--json"), capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)
