"""Peers that go away under load and come back: no human action, the task stays Running, says what it waits for,
and every row is equal afterwards."""

import contextlib
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos.peers import ANSWERS
from chaos.witness import new_witness
from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from test_tasks import Load, only

pytestmark = pytest.mark.both_queues


@contextlib.contextmanager
def under_load(cdc, target, **kwargs):
    """A task and a collection that is being filled: (task, collection, copy, load)."""
    name = fresh()
    task = cdc.create(target, only(name))
    collection = simple("source", name, **kwargs)
    load = Load(collection)
    try:
        copy = wait_collection(name, "target")
        wait_until(lambda: load.key > 10**6 + 300, 30, "the load runs")
        yield task, collection, copy, load
    finally:
        load.stopping.set()


@pytest.fixture
def loaded(cdc, source, target):
    """(server, task, collection, copy, load)"""
    with under_load(cdc, target, shards_num=2) as parts:
        yield cdc, *parts


def waits_for(cdc, task) -> str:
    return cdc.get(task)["detail"]["waits_for"]


def test_target_killed(loaded, target):
    cdc, task, collection, copy, load = loaded
    target.kill()
    wait_until(lambda: re.search("target", waits_for(cdc, task)), 20, "the task says what it waits for")
    assert cdc.get(task)["state"] == "Running"
    goal = load.key + 500
    wait_until(lambda: load.key > goal, 30, "the source is written meanwhile")
    target.start()
    load.stop()
    target.connect()
    wait_equal(collection, wait_collection(collection.name, "target", timeout=60), timeout=90)
    assert cdc.get(task)["state"] == "Running"


def test_queue_restarted(loaded, mq, source, target):
    cdc, task, collection, copy, load = loaded
    load.stop()
    mq.part.restart()
    again = Load(collection, load.key)
    wait_until(lambda: again.key > load.key + 300 or again.error, 90, "the source takes rows again")
    again.stop()
    wait_equal(collection, copy, timeout=90)
    assert cdc.get(task)["state"] == "Running"


def test_etcd_restarted(loaded, rig, source, target):
    """Milvus itself does not survive a long absence of etcd; a restart is short."""
    cdc, task, collection, copy, load = loaded
    rig.part("etcd").restart()
    goal = load.key + 500
    wait_until(lambda: load.key > goal or load.error, 60, "the load goes on")
    load.stop()
    wait_equal(collection, copy, timeout=60)
    assert cdc.get(task)["state"] == "Running"
    more = simple("source", collection.name + "_more")
    assert more.name and cdc.get(task)["state"] == "Running"


@contextlib.contextmanager
def locked(path):
    """Somebody's transaction holds a SQLite file: nothing can be written."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("begin exclusive")
        yield


@contextlib.contextmanager
def unreachable(proxy):
    proxy.refuse()
    proxy.cut()
    yield
    proxy.heal()


@pytest.mark.only_queue("kafka")
def test_deleted_and_created_while_the_target_hangs(cdc, rig, source, target):
    """delete leaves a silent target for some seconds; a task of the same id counts for itself meanwhile."""
    proxy = rig.proxy("hangs", target.address)
    task, old, new = fresh("task"), fresh(), fresh()
    uri = f"http://{proxy.address}"
    cdc.create(target, only(old), task_id=task, milvus_connect_param={"uri": uri})
    load = Load(simple("source", old))
    try:
        wait_until(lambda: cdc.get(task)["detail"]["rows_written"] > 100, 60, "rows are written")
        proxy.half_open()
        with ThreadPoolExecutor(1) as pool:
            deleted = pool.submit(cdc.delete, task)
            again = {"task_id": task, "milvus_connect_param": {"uri": target.uri}, "db_collections": only(new)}
            wait_until(lambda: "warnings" not in cdc.ask("create", again), 60, "the id is free")
            collection = simple("source", new)
            fill(collection, range(100))
            deleted.result(60)
    finally:
        load.stop()
    fill(collection, range(100, 200))
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 200, 60, "its rows are written")
    assert re.search(r'replicate_data_cnt{.*%s.*op_type="write".*} 200' % new, cdc.metrics())
    cdc.delete(task)
    rig.remove(proxy)


@pytest.mark.only_queue("kafka")
@pytest.mark.parametrize("kind", ["sqlite", "etcd"])
def test_metastore_away(new_cdc, rig, source, target, kind):
    """The task names the store and stays Running; killed meanwhile, it ends equal all the same."""
    proxy = rig.proxy("store", rig.part("etcd").address)
    store = {"storeType": "etcd", "etcd": {"address": [proxy.address]}, "rootPath": fresh("cdc")}
    cdc = new_cdc({"metaStoreConfig": store} if kind == "etcd" else {"metaStoreConfig": {"sqlitePath": "meta.db"}})
    with under_load(cdc, target) as (task, collection, copy, load):
        with locked(cdc.path("meta.db")) if kind == "sqlite" else unreachable(proxy):
            wait_until(lambda: "metastore" in waits_for(cdc, task), 60, "the task says what it waits for")
            assert cdc.get(task)["state"] == "Running"
            goal = load.key + 300
            wait_until(lambda: load.key > goal, 30, "the source is written meanwhile")
            cdc.kill()
        cdc.start()
        load.stop()
    wait_equal(collection, copy, timeout=90)
    wait_until(lambda: "metastore" not in waits_for(cdc, task), 60, "it is in order again")
    rig.remove(proxy)


def says_and_goes_on(cdc, target, troubles):
    """Under load each trouble (reason, begin, end) is said, rows wait, and go on by themselves: nothing is lost."""
    with under_load(cdc, target) as (task, collection, copy, load):
        for reason, begin, end in troubles:
            begin()
            wait_until(lambda: reason in waits_for(cdc, task), 60, f"the task says: {reason}")
            assert cdc.get(task)["state"] == "Running"
            end()
            wait_until(lambda: reason not in waits_for(cdc, task), 60, "it is in order again")
            goal = load.key + 50  # of the batch that is being written, or the next
            wait_until(lambda: copy.query(f"id == {goal - 10}", consistency_level="Strong"), 60, "rows go on")
        load.stop()
        wait_equal(collection, copy, timeout=90)


@pytest.mark.only_queue("kafka")
def test_mariadb_away(new_cdc, rig, source, target):
    """Frozen and killed."""
    mariadb = rig.mariadb("mariadb-away")
    cdc = new_cdc({"metaStoreConfig": {"storeType": "mysql", "mysqlSourceUrl": mariadb.dsn + "&readTimeout=2s",
                                       "rootPath": fresh("cdc")}})
    says_and_goes_on(cdc, target, [("metastore", mariadb.pause, mariadb.resume),
                                   ("metastore", mariadb.kill, mariadb.start)])
    rig.remove(mariadb)


@pytest.mark.only_queue("kafka")
def test_target_takes_no_rows(cdc, rig, source, target):
    """Out of memory, out of disk: the task says what the target says."""
    witness = new_witness(rig, target, "full")

    def refused(answer):
        fault = ANSWERS[answer]
        return fault["reason"], lambda: witness.fault("ReplicateMessage", left=10**6, **fault), witness.heal

    says_and_goes_on(cdc, witness, [refused("quota exceeded"), refused("denied to write")])
    assert witness.violations() == []
