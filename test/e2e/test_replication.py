"""What is done on a real source appears on a real target: rows of every type, and every operation."""

import pytest
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, db, utility
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from helpers import (all_types, fill, fresh, rows_of, simple, wait_collection, wait_equal, wait_until)
from replicate import stamp
from rig import together

pytestmark = pytest.mark.both_queues


@pytest.fixture
def task(cdc, source, target):
    """A task that replicates everything."""
    return cdc.create(target)


def on_target(name: str) -> Collection:
    return wait_collection(name, "target")


def test_all_types(task, source, target):
    collection = all_types("source")
    fill(collection, range(300))
    wait_equal(collection, on_target(collection.name))


def test_binary_vectors_and_varchar_keys(task, source, target):
    collection = all_types("source", varchar_pk=True, binary=True)
    fill(collection, (f"k\u00e4y {i}" for i in range(300)))
    collection.delete('id in ["k\u00e4y 3", "k\u00e4y 5"]')
    wait_equal(collection, on_target(collection.name))


def test_auto_id(task, source, target):
    schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True, auto_id=True),
                               FieldSchema("v", DataType.FLOAT_VECTOR, dim=4)], description="with auto id")
    collection = Collection(fresh(), schema, using="source")
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    collection.insert([[[i, 0.5, 1, 2] for i in range(100)]])
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    assert copy.schema.auto_id and copy.schema.description == "with auto id"


def test_partition_key(task, source, target):
    schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True),
                               FieldSchema("tenant", DataType.VARCHAR, max_length=50, is_partition_key=True),
                               FieldSchema("v", DataType.FLOAT_VECTOR, dim=4)])
    collection = Collection(fresh(), schema, using="source", num_partitions=7)
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    collection.insert([{"id": i, "tenant": f"t{i % 11}", "v": [i, 1, 2, 3]} for i in range(500)])
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    assert len(copy.partitions) == 7
    found = copy.query("tenant == 't3'", output_fields=["id"], consistency_level="Strong")
    assert {row["id"] for row in found} == {i for i in range(500) if i % 11 == 3}


@pytest.mark.parametrize("shards", [1, 2, 16])
def test_shards(task, source, target, shards):
    collection = simple("source", shards_num=shards)
    fill(collection, range(2000))
    collection.delete(f"id in {list(range(0, 600, 3))}")
    collection.upsert(list(rows_of(collection, range(500, 900), seed=1)))
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    fill(collection, range(5000, 5100))
    collection.delete("id in [5001, 5003, 700]")
    wait_equal(collection, copy)


def test_properties(task, source, target):
    """What create carries beside the schema."""
    collection = simple("source", load=False, shards_num=2, consistency_level="Strong",
                        properties={"collection.ttl.seconds": 86400})
    wait_until(lambda: utility.has_collection(collection.name, using="target"), 20, "it exists")
    ours, theirs = (Collection(collection.name, using=alias).describe() for alias in ("source", "target"))
    for key in ("num_shards", "consistency_level", "properties", "enable_dynamic_field", "fields"):
        assert ours.get(key) == theirs.get(key), key


def test_partitions(task, source, target):
    collection = simple("source")
    first, second = collection.create_partition("one"), collection.create_partition("two")
    fill(collection, range(100), partition_name="one")
    fill(collection, range(100, 200), partition_name="two")
    fill(collection, range(200, 300))
    collection.delete("id in [5, 150, 250]")
    collection.delete("id in [6]", partition_name="one")
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    second.load()
    assert copy.has_partition("one") and copy.has_partition("two")
    collection.release()
    first.drop()
    wait_until(lambda: not copy.has_partition("one"), 20, "the partition is dropped on the target")
    again = collection.create_partition("one")
    fill(collection, range(1000, 1050), partition_name="one")
    collection.load()
    wait_equal(collection, on_target(collection.name))
    assert again.name == "one"


def test_many_writers(task, source, target):
    """Upserts at the same time: their messages stand between each other in the topic, not in order of time."""
    collection = simple("source", shards_num=1)

    def write(first: int) -> None:
        for seed in range(15):
            collection.upsert(list(rows_of(collection, range(first, first + 20), seed)))
            collection.upsert(list(rows_of(collection, range(1000, 1010), f"{first} {seed}")))

    together(*(lambda first=first: write(first) for first in range(0, 200, 25)))
    wait_equal(collection, on_target(collection.name))


@pytest.mark.parametrize("shards", [1, 2])
def test_a_partition_is_replaced_again_and_again(task, source, target, shards):
    """Milvus writes the message of a drop when the next partition of the name may have rows already."""
    collection = simple("source", load=False, shards_num=shards)
    collection.create_partition("p")
    for begin in range(0, 200, 20):
        fill(collection, range(begin, begin + 10), partition_name="p")
        collection.drop_partition("p")
        collection.create_partition("p")
        fill(collection, range(begin + 10, begin + 20), partition_name="p")
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    wait_equal(collection, on_target(collection.name), 60)


def test_a_load_waits_for_the_drop_of_a_partition(cdc, task, source, target):
    """Milvus drops no loaded partition: a load that came first would keep it for ever."""
    collection = simple("source")
    collection.release()
    collection.create_partition("p")
    fill(collection, range(50), partition_name="p")
    collection.load()
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    cdc.pause_task(task)
    collection.release()
    collection.drop_partition("p")
    collection.load()
    fill(collection, range(50, 60))
    cdc.resume_task(task)
    wait_equal(collection, copy, 60)
    assert not copy.has_partition("p")
    wait_until(lambda: utility.load_state(copy.name, using="target").name == "Loaded", 20, "it is loaded again")


def test_partitions_and_their_collection_are_dropped(task, source, target):
    """All at once: each drop has messages of its own, and the name can be used again at once."""
    name = fresh()
    for _ in range(2):
        collection = simple("source", name, load=False, shards_num=2)
        for number in range(8):
            collection.create_partition(f"p{number}")
        fill(collection, range(20), partition_name="p3")
        for number in range(8):
            collection.drop_partition(f"p{number}")
        collection.drop()
    last = simple("source", name)
    fill(last, range(50))
    wait_equal(last, on_target(name))


def test_index_load_release_flush(task, source, target):
    collection = simple("source", load=False)
    collection.create_index("v", {"index_type": "IVF_FLAT", "metric_type": "IP", "params": {"nlist": 8}},
                            index_name="first")
    fill(collection, range(1000))
    collection.flush()
    collection.load()
    copy = on_target(collection.name)
    wait_equal(collection, copy)
    wait_until(lambda: [i.index_name for i in copy.indexes] == ["first"], 10, "the index is there")
    assert copy.indexes[0].params["index_type"] == "IVF_FLAT"
    wait_until(lambda: copy.num_entities == 1000, 30, "the flush has reached the target")
    collection.release()
    wait_until(lambda: utility.load_state(copy.name, using="target").name == "NotLoad", 20, "released")
    collection.drop_index(index_name="first")
    wait_until(lambda: not copy.indexes, 10, "the index is dropped")


def tell(source, mq, request, msg_type: int) -> None:
    """Writes an operation into the source's replicate channel as its proxy would."""
    request.base.msg_type = msg_type
    request.base.timestamp = stamp(source)
    mq.send(source.replicate_channel, request.SerializeToString())


def test_load_partitions(task, mq, source, target):
    """A 2.3.5 source does not write partition loads into its channel (2.4 does): told by hand."""
    collection = simple("source", load=False)
    part = collection.create_partition("p")
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    fill(collection, range(10), partition_name="p")
    wait_until(lambda: utility.has_collection(collection.name, using="target"), 20, "it exists")

    def state(name):
        return utility.load_state(collection.name, partition_names=[name], using="target").name

    part.load()
    tell(source, mq, milvus_pb2.LoadPartitionsRequest(
        collection_name=collection.name, partition_names=["p"], replica_number=1), common_pb2.LoadPartitions)
    wait_until(lambda: state("p") == "Loaded", 30, "the partition is loaded on the target")
    assert state("_default") == "NotLoad"
    part.release()
    tell(source, mq, milvus_pb2.ReleasePartitionsRequest(
        collection_name=collection.name, partition_names=["p"]), common_pb2.ReleasePartitions)
    wait_until(lambda: state("p") == "NotLoad", 20, "the partition is released")


def test_databases(task, source, target):
    name = fresh("db")
    db.create_database(name, using="source")
    inside = simple(source.connect(f"source_{name}", db=name), "same_name")
    fill(inside, range(50))
    outside = simple("source", fresh("same"))
    fill(outside, range(70))
    wait_until(lambda: name in db.list_database(using="target"), 20, "the database exists on the target")
    wait_equal(inside, wait_collection("same_name", target.connect(f"target_{name}", db=name)))
    wait_equal(outside, on_target(outside.name))
    inside.drop()
    db.drop_database(name, using="source")
    wait_until(lambda: name not in db.list_database(using="target"), 30, "the database is dropped")


def test_drop_and_create_again(task, source, target):
    """A name that comes back with another schema, several times."""
    name = fresh()
    for turn in range(3):
        collection = simple("source", name, dim=4 + 4 * turn, shards_num=1 + turn)
        fill(collection, range(turn * 1000, turn * 1000 + 100))
        wait_until(lambda: utility.has_collection(name, using="target") and
                   Collection(name, using="target").schema.fields[1].params["dim"] == 4 + 4 * turn,
                   30, f"generation {turn} is on the target")
        wait_equal(collection, on_target(name))
        collection.drop()
    wait_until(lambda: not utility.has_collection(name, using="target"), 20, "it is dropped at last")
