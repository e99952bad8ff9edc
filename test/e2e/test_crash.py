"""Killed at a failpoint and started again, the final rows are equal. The long forms: make chaos."""

import itertools
import re
import subprocess

import pytest

from chaos import sweep
from chaos.crash import Story
from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig.server import default_binary

SEED, POINTS = 1, 4


def has_failpoints() -> bool:
    return not subprocess.run([default_binary(), "print-docs", "failpoints"], capture_output=True).returncode


@pytest.mark.skipif(not has_failpoints(), reason="a build without failpoints")
def test_killed_at_failpoints(cdc, source, target):
    """A seeded choice of all the points that the binary lists."""
    chosen = sweep.choose(sweep.points(cdc.options["binary"]), SEED, POINTS)
    run = sweep.Sweep(cdc, source, target, SEED)
    try:
        assert [point for point, hit in chosen if not run.strike(point, hit)] == []
    finally:
        run.close()


def etcd_store(rig, address: str = "") -> dict:
    return {"metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [address or rig.part("etcd").address]},
                                "rootPath": fresh("store")}}


def mysql_store(rig) -> dict:
    return {"metaStoreConfig": {"storeType": "mysql", "mysqlSourceUrl": rig.mariadb().dsn,
                                "rootPath": fresh("store")}}


@pytest.mark.skipif(not has_failpoints(), reason="a build without failpoints")
@pytest.mark.parametrize("store, point", [(etcd_store, "etcd.txn.after"), (mysql_store, "mysql.commit.after")])
def test_killed_at_writes_of_other_stores(new_cdc, rig, source, target, store, point):
    run = sweep.Sweep(new_cdc(store(rig)), source, target, point)
    try:
        assert run.strike(point, 5)
    finally:
        run.close()


def test_rows_wait_for_the_metastore(new_cdc, rig, source, target):
    """How far rows may be sent must be durable before they are: without the metastore they stop, and it is said."""
    proxy = rig.proxy("store", rig.part("etcd").address)
    server = new_cdc(etcd_store(rig, proxy.address))
    name = fresh()
    task = server.create(target, {"default": [{"name": name}]})
    collection = simple("source", name)
    fill(collection, range(100))
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    proxy.refuse()
    keys = itertools.count(1000)

    def stopped() -> bool:
        fill(collection, [next(keys)])
        return "rows wait, the metastore" in server.get(task)["detail"]["waits_for"]

    wait_until(stopped, 60, "rows wait", pause=0.2)
    assert re.search(r"^milvus_cdc_rows_wait_for_metastore\{.*\} 1$", server.metrics(), re.M)
    assert server.get(task)["state"] == "Running"
    proxy.heal()
    wait_equal(collection, copy, timeout=60)
    wait_until(lambda: not re.search(r"^milvus_cdc_rows_wait_for_metastore\{.*\} 1$", server.metrics(), re.M), 20,
               "no row waits")
    # A clean stop leaves no window, though the stored bound is ahead of the rows; a kill leaves one.
    replayed = re.compile(r"^milvus_cdc_replayed_rows_total\{.*\} [1-9]", re.M)
    for first, end, window in ((10**6, server.stop, False), (2 * 10**6, server.kill, True)):
        fill(collection, range(first, first + 20))
        end()
        server.start()
        wait_equal(collection, copy, timeout=60)
        assert bool(replayed.search(server.metrics())) == window


def test_databases_replaced_while_down(cdc, source, target):
    """Databases go with their collections, and others of their names come; the old ones leave the target first."""
    story = Story(source, target, SEED)
    cdc.create(target, story.selection)
    for _ in range(Story.TURNS):
        story.turn()
    story.settle()
    cdc.kill()
    for _ in range(Story.TURNS):
        story.turn()
    cdc.start()
    story.settle()
