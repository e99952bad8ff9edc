"""Pulsar under load: restarts, unloads, connections that break in every way, retention.

The server reads through a proxy; the source writes past it, so only the server meets the proxy's faults. Load
inserts, upserts and deletes, so a lost, doubled or reordered message leaves a difference.
"""

import json
import re

import pytest

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from queues import channels_of
from test_tasks import Load, only, serve

pytestmark = pytest.mark.only_queue("pulsar")

TASK_ROWS = 10**6  # where Load begins


@pytest.fixture
def wire(rig):
    """The proxy between the server and the broker."""
    proxy = rig.part("wire")
    yield proxy
    proxy.heal()


@pytest.fixture
def server(new_cdc, wire):
    """A server that reaches Pulsar through the proxy only."""
    return new_cdc({"sourceConfig": {"pulsar": {"address": f"pulsar://{wire.address}"}}})


@pytest.fixture
def loaded(server, source, target):
    """A task and a collection under load: (server, task, collection, copy, load)."""
    name = fresh()
    task = server.create(target, only(name))
    collection = simple("source", name, shards_num=2)
    load = Load(collection)
    copy = wait_collection(name, "target")
    wait_until(lambda: load.key > TASK_ROWS + 100, 60, "the load runs")
    yield server, task, collection, copy, load
    load.stopping.set()
    load.thread.join()


def more(load: Load, rows: int = 200) -> None:
    """Waits until the source has got so many more rows."""
    goal = load.key + rows
    wait_until(lambda: load.key > goal or load.error, 90, "the load goes on")


def at_ease(server, task: str) -> bool:
    told = server.get(task)
    return told["state"] == "Running" and not told["detail"]["waits_for"]


def all_well(server, task, collection, copy) -> None:
    """Equal, and the task waits for nothing any more."""
    wait_equal(collection, copy, timeout=120)
    try:
        wait_until(lambda: at_ease(server, task), 30, "the task runs and waits for nothing")
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{server.get(task)}") from None


def end(server, task, collection, copy, load) -> None:
    load.stop()
    all_well(server, task, collection, copy)


def test_connections_break(loaded, wire):
    """Closed, reset, reset within a frame, slow; each with the load going on."""
    server, task, collection, copy, load = loaded
    faults = [wire.cut, lambda: wire.cut(reset=True)]
    faults += [lambda after=after: wire.reset_mid_frame(after) for after in (3, 200, 5000)]
    faults += [lambda: wire.delay(100)]
    for fault in faults:
        before = wire.counts()["to_client"]
        fault()
        more(load, 100)
        wait_until(lambda: wire.counts()["to_client"] > before + 10000, 60, "the server reads again")
    end(*loaded)


def test_broker_cannot_be_reached(loaded, wire):
    server, task, collection, copy, load = loaded
    wire.refuse()
    wait_until(lambda: re.search("pulsar|queue|source", server.get(task)["detail"]["waits_for"]), 40,
               "the task says what it waits for")
    assert server.get(task)["state"] == "Running"
    more(load)
    wire.heal()
    end(*loaded)


def test_half_open(loaded, wire):
    """Nobody says that the connection is dead: the server finds out by itself."""
    server, task, collection, copy, load = loaded
    wire.half_open()
    accepted = wire.counts()["accepted"]
    wait_until(lambda: wire.counts()["accepted"] > accepted, 120, "the server tries another connection", pause=0.5)
    more(load)
    wire.heal()
    end(*loaded)


def test_topics_unloaded(loaded, mq, source):
    server, task, collection, copy, load = loaded
    for _ in range(4):
        for channel in channels_of(source, collection):
            mq.unload(channel)
        mq.unload(source.replicate_channel)
        more(load, 50)
    end(*loaded)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_broker(server, source, target, mq, wire, how):
    """It goes away while a backlog is read, which the bandwidth makes last."""
    collection = simple("source", load=False, shards_num=2, dim=256)
    task = server.create(target, {"default": [{"name": collection.name, "use_start_position": True}]})
    copy = serve(collection)
    server.pause_task(task)
    for turn in range(4):
        fill(collection, range(turn * 1000, turn * 1000 + 1000))
        collection.delete(f"id in {list(range(turn * 1000, turn * 1000 + 50))}")
    wire.bandwidth(400_000)
    before = wire.counts()["to_client"]
    server.resume_task(task)
    wait_until(lambda: wire.counts()["to_client"] > before + 500_000, 60, "the backlog is being read")
    if how == "stop":  # and not kill, see Pulsar in rig/brokers.py
        wire.cut(reset=True)
        mq.part.stop()
        mq.part.start()
    else:
        mq.part.pause()
        wait_until(lambda: not at_ease(server, task), 120, "the server notices", pause=0.5)
        mq.part.resume()
    wire.heal()
    all_well(server, task, collection, copy)


def test_position_that_is_no_longer_kept(server, source, target, mq):
    """A task was paused for longer than messages are kept: it says so and names the gap; others go on."""
    collection = simple("source", load=False, shards_num=1)
    task = server.create(target, {"default": [{"name": collection.name, "use_start_position": True}]})
    copy = serve(collection)
    fill(collection, range(100))
    wait_equal(collection, copy)
    server.pause_task(task)
    fill(collection, range(100, 200))
    collection.flush()
    collection.release()
    channel, = channels_of(source, collection)
    mq.forget(channel)
    server.resume_task(task)
    told = wait_until(lambda: (lambda text: "older than the broker keeps" in text and text)(
        json.dumps(server.get(task))), 60, "the task tells that its position is gone")
    assert channel in told and re.search(r"first available", told)
    assert server.get(task)["state"] != "Initial"
