"""Sources newer than the one that is installed: their keys and messages written by hand, to a real target."""

from __future__ import annotations

import pytest
from pymilvus import Collection, connections, utility
from pymilvus import db as databases

from helpers import all_rows, fresh, wait_collection, wait_until
from synthetic import Synthetic

STYLES = {"2.4": dict(headers="type", drops="tombstone"), "2.5": dict(headers="full", drops="tombstone"),
          "2.6 meta": dict(headers="full", drops="delete")}


def start(new_cdc, rig, target, style: str, selection: dict):
    """A synthetic source of that style and a server that replicates it."""
    source = Synthetic(rig, **STYLES[style])
    cdc = new_cdc(source.config())
    return source, cdc, cdc.create(target, selection)


def wait_keys(copy: Collection, keys, what: str) -> None:
    wait_until(lambda: sorted(all_rows(copy, timeout=10)) == sorted(keys), 40, what)


@pytest.mark.parametrize("style", STYLES)
def test_life_of_a_collection(new_cdc, rig, source, target, style):
    """Rows on two shards, a partition, deletes, and the drops, each in the release's own way."""
    name = fresh("new")
    made, cdc, task = start(new_cdc, rig, target, style, {"default": [{"name": name}]})
    with made.ticking():
        c = made.collection(name, shards=2)
        c.load()
        c.insert(range(0, 50), shard=0)
        c.insert(range(50, 100), shard=1)
        copy = wait_collection(name, "target", timeout=60)
        wait_keys(copy, range(100), "both shards are there")
        c.partition("p1")
        c.insert(range(100, 120), partition="p1", fill=2.0)
        c.delete(range(0, 10))
        wait_keys(copy, range(10, 120), "the partition's rows are there, the deleted ones are not")
        assert "p1" in [p.name for p in copy.partitions]
        c.drop()
        wait_until(lambda: not utility.has_collection(name, using="target"), 40, "the drop is replicated")
        # the name is used again at once
        again = made.collection(name)
        again.load()
        again.insert(range(5))
        copy = wait_collection(name, "target", timeout=60)
        wait_keys(copy, range(5), "the new collection has its own rows")
    assert cdc.get(task)["state"] == "Running"


def test_dropped_while_down(new_cdc, rig, source, target):
    """Keys that are gone when the server comes back leave no trace; the drop message tells it."""
    name = fresh("new")
    made, cdc, task = start(new_cdc, rig, target, "2.6 meta", {"default": [{"name": name}]})
    with made.ticking():
        c = made.collection(name)
        c.load()
        c.insert(range(10))
        wait_keys(wait_collection(name, "target", timeout=60), range(10), "the rows are there")
        cdc.stop()
        c.insert(range(10, 20))
        c.drop()
        cdc.start()
        wait_until(lambda: not utility.has_collection(name, using="target"), 40, "the drop is replicated")
    assert cdc.get(task)["state"] == "Running"


def test_database_with_real_deletes(new_cdc, rig, source, target):
    """A database of its own: created, filled, emptied and dropped by keys that really go."""
    db, name = fresh("db"), fresh("new")
    made, cdc, _ = start(new_cdc, rig, target, "2.6 meta", {db: [{"name": "*"}]})
    with made.ticking():
        number = made.database(db)
        c = made.collection(name, db=(db, number))
        c.insert(range(10))
        alias = f"target-{db}"
        host, port = target.address.split(":")

        def there() -> bool:
            connections.connect(alias, host=host, port=port, db_name=db)
            return utility.has_collection(name, using=alias)

        wait_until(there, 40, "database and collection are created")
        c.drop()
        wait_until(lambda: not utility.has_collection(name, using=alias), 40, "the collection is dropped")
        made.drop_database(number)
        wait_until(lambda: db not in databases.list_database(using="target"), 40, "the database is dropped")
        connections.disconnect(alias)
