"""The way to Pulsar under load: connections that break in every way.

The server reads through a proxy; the source writes past it, so only the server meets the proxy's faults. Load
inserts, upserts and deletes, so a lost, doubled or reordered message leaves a difference.
"""

import re

import pytest

from helpers import fresh, simple, wait_collection, wait_equal, wait_until
from test_tasks import Load, only

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
