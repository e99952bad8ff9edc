"""What one collection can't do stops that collection alone; the others on its target channels go on."""

import json
import sqlite3

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pymilvus import Collection, db, utility

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until

SHARDS = 16  # of the wide collection: one on each channel of the target


@pytest.fixture
def pair(cdc, source, target):
    """A task with a collection on every target channel, and one on some channel: (server, task, wide, narrow)."""
    names = fresh("wide"), fresh("narrow")
    task = cdc.create(target, {"default": [{"name": name} for name in names]})
    wide = simple("source", names[0], shards_num=SHARDS)
    narrow = simple("source", names[1], dim=128, shards_num=1)
    for collection in (wide, narrow):
        fill(collection, range(50))
        wait_equal(collection, wait_collection(collection.name, "target"))
    yield cdc, task, wide, narrow
    cdc.delete(task)


def wait_failed(cdc, task, collection, why: str) -> None:
    wait_until(lambda: f"{collection.name} Failed: {why}" in cdc.get(task)["detail"]["waits_for"], 60, why)


def test_collection_dropped_on_the_target_by_hand(pair):
    cdc, task, wide, narrow = pair
    utility.drop_collection(narrow.name, using="target")
    for collection in (narrow, wide):
        fill(collection, range(100, 150))
    wait_failed(cdc, task, narrow, f"default.{narrow.name} has vanished from the target")
    wait_equal(wide, wait_collection(wide.name, "target"))
    # made anew at the source it is replicated again
    narrow.drop()
    again = simple("source", narrow.name)
    fill(again, range(30))
    wait_equal(again, wait_collection(narrow.name, "target"))


def test_dropped_collections_leave_nothing_behind(new_cdc, source, target):
    """Neither in the task's state nor in its records, positions and metrics."""
    cdc = new_cdc({"checkpointInterval": 200})
    name = fresh()
    names = [f"{name}_{number}" for number in range(20)]
    database = fresh("db")
    task = cdc.create(target, {"default": [{"name": n} for n in (name, *names)], database: [{"name": "*"}]})
    stays = simple("source", name, load=False)
    partitions = [stays.create_partition(f"p{number}") for number in range(5)]
    db.create_database(database, using="source")
    collections = [simple("source", n, load=False) for n in names]
    fill(collections[0], range(10))
    wait_until(lambda: cdc.get(task)["detail"]["collection_states"] == {"Running": 21}, 60, "all run")
    copy = Collection(name, using="target")
    wait_until(lambda: len(copy.partitions) == 6, 20, "the partitions are there")
    wait_until(lambda: database in db.list_database(using="target"), 20, "the database too")
    for gone in (*collections, *partitions):
        gone.drop()
    db.drop_database(database, using="source")
    wait_until(lambda: cdc.get(task)["detail"]["collection_states"] == {"Running": 1}, 60, "the dropped are forgotten")
    assert cdc.get(task)["detail"]["rows_written"] == 10
    assert not any(n in cdc.metrics() for n in names)

    def stored() -> int:
        with sqlite3.connect(f"file:{cdc.path('milvus-cdc.db')}?mode=ro", uri=True) as store:
            return sum(store.execute(f"select count(*) from {table} where {key} like '%{task}%'").fetchone()[0]
                       for table, key in (("task_position", "task_position_key"), ("ext", "ext_key")))

    def record() -> dict:
        with sqlite3.connect(f"file:{cdc.path('milvus-cdc.db')}?mode=ro", uri=True) as store:
            return json.loads(store.execute(f"select ext_value from ext where ext_key like '%{task}%' "
                                            "and ext_value like '%partitions%'").fetchone()[0])

    # its document and record, those of the operations and of the run
    wait_until(lambda: stored() <= 4, 30, "the metastore too")
    wait_until(lambda: len(record()["partitions"]) == 1, 30, "the dropped partitions as well")
    # and one that is renamed has one name
    utility.rename_collection(name, names[0], using="source")
    wait_until(lambda: f'collection_name="{names[0]}"' in cdc.metrics(), 30, "the metrics have the new name")
    assert f'collection_name="{name}"' not in cdc.metrics()
    stays = Collection(names[0], using="source")
    line = f"db=default collection={names[0]} id={stays.describe()['collection_id']} "
    stays.create_partition("after")
    stays.drop_partition("after")
    wait_until(lambda: line in cdc.log_path.read_text(), 10, "so have the logs")
    fill(stays, range(5))
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 15, 20, "it goes on")
    stays.drop()
    wait_until(lambda: f"db=default collection={names[0]} id=" in cdc.log_tail(4), 20, "the logs have the new name")


def limit(part, **settings) -> None:
    """Sets (or, with None, resets) configuration of the topics of a target's rows."""
    admin = part.rig.part(part.options["broker"]).admin()
    topics = [t for t in admin.list_topics(timeout=10).topics if t.startswith(f"{part.name}-rootcoord-dml")]
    assert topics
    for topic in topics:
        entries = [ConfigEntry(name.replace("_", "."), value or "", incremental_operation=AlterConfigOpType.SET if value
                               else AlterConfigOpType.DELETE) for name, value in settings.items()]
        for done in admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic,
                                                                    incremental_configs=entries)]).values():
            done.result(10)


def test_message_beyond_the_target_queues_limit(pair, target):
    """Named with its size and what to do; nothing is lost once the limit is raised."""
    cdc, task, wide, narrow = pair
    limit(target, max_message_bytes="200000")
    try:
        fill(narrow, range(100, 1100))
        fill(wide, range(100, 150))
        wait_failed(cdc, task, narrow, "")
        assert "raise max.message.bytes (Kafka) or maxMessageSize (Pulsar)" in cdc.get(task)["detail"]["waits_for"]
        fill(wide, range(200, 250))
        wait_equal(wide, wait_collection(wide.name, "target"))
    finally:
        limit(target, max_message_bytes=None)
    cdc.pause_task(task)
    cdc.resume_task(task)
    wait_equal(narrow, wait_collection(narrow.name, "target"))
