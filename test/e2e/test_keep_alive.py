"""A target goes on answering while nothing is replicated to it, and what comes afterwards is complete."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import grpc
import pytest
from pymilvus import MilvusException

from helpers import all_rows, fill, rows_of, simple, wait_collection, wait_equal, wait_until

pytestmark = pytest.mark.only_queue("kafka")

ANSWER_S = 30  # a strong read waits for a tick of now: keepaliveTick and the margin


@pytest.fixture(scope="module")
def world(rig, source, target):
    """A server that reads its queue through a proxy, and one collection, loaded on both sides."""
    wire = rig.part("wire")
    cdc = rig.cdc(source, name="cdc-keep-alive", config={"sourceConfig": {"kafka": {"address": wire.address}}})
    collection = simple("source", load=False, shards_num=2)
    fill(collection, range(100))
    only = {"default": [{"name": collection.name, "use_start_position": True}]}
    task = cdc.create(target, only)
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    copy = wait_collection(collection.name, "target", timeout=90)
    wait_equal(collection, copy, timeout=60)
    yield SimpleNamespace(cdc=cdc, wire=wire, collection=collection, copy=copy, task=task, keys=1000)
    assert cdc.stop() and not cdc.findings(), cdc.findings()
    rig.remove(cdc)


def change(world) -> None:
    world.keys += 100
    fill(world.collection, range(world.keys, world.keys + 100))
    world.collection.upsert(list(rows_of(world.collection, range(10, 30), seed=world.keys)))
    world.collection.delete(f"id in [{world.keys}, {world.keys % 97}]")


def test_paused(world):
    """Also when the server is started anew meanwhile, which knows the channels from its metastore."""
    cdc, copy = world.cdc, world.copy
    cdc.pause_task(world.task)
    rows = all_rows(copy, ANSWER_S)
    change(world)
    copy.release()
    copy.load(timeout=60)  # a load waits for ticks as well
    assert all_rows(copy, ANSWER_S) == rows
    assert cdc.stop()
    cdc.start()
    assert cdc.get(world.task)["state"] == "Paused"
    assert all_rows(copy, ANSWER_S) == rows
    change(world)
    cdc.resume_task(world.task)
    wait_equal(world.collection, copy, timeout=60)


def test_queue_away(world):
    cdc, copy = world.cdc, world.copy
    rows = all_rows(copy, ANSWER_S)
    world.wire.refuse()
    try:
        wait_until(lambda: cdc.get(world.task)["detail"]["waits_for"], 60, "the task says what it waits for")
        change(world)
        for _ in range(2):  # the second can't be answered by what was there before
            assert all_rows(copy, ANSWER_S) == rows
        assert cdc.get(world.task)["state"] == "Running"
    finally:
        world.wire.heal()
    wait_equal(world.collection, copy, timeout=90)


def test_not_wanted(world, target):
    """extra_info.no_keep_alive: the target's time stands still with the task."""
    cdc, copy = world.cdc, world.copy
    cdc.delete(world.task)
    task = cdc.create(target, {"default": [{"name": world.collection.name}]}, extra_info={"no_keep_alive": True})
    change(world)
    wait_equal(world.collection, copy, timeout=60)
    cdc.pause_task(task)
    change(world)

    def refused() -> bool:
        with contextlib.suppress(MilvusException, grpc.RpcError):
            copy.query("id >= 0", consistency_level="Strong", timeout=3)
            return False
        return True

    wait_until(refused, 30, "a strong read finds no tick of now")
    cdc.resume_task(task)
    wait_equal(world.collection, copy, timeout=60)
