"""A target that takes less than the source writes: what waits stays in the queue, not in the server."""

import base64
import random
import re
from pathlib import Path

import pytest
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema

from helpers import count, fresh, wait_until
from test_tasks import serve

pytestmark = pytest.mark.only_queue("pulsar")

ROWS, ROW_BYTES, TURN = 1600, 60_000, 50
BUDGET_MB = 16
# The budget, and as much again for what is fetched ahead; twice, for the sanitizer's share of each allocation.
MOST_BYTES = 2 * 2 * BUDGET_MB << 20


def resident(server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) << 10


def text(key: int) -> str:
    return base64.b64encode(random.Random(key).randbytes(ROW_BYTES * 3 // 4)).decode()


def long_texts(name: str) -> Collection:
    schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True),
                               FieldSchema("text", DataType.VARCHAR, max_length=65535),
                               FieldSchema("v", DataType.FLOAT_VECTOR, dim=8)])
    return Collection(name, schema, using="source", shards_num=2)


def insert(collection: Collection, keys) -> None:
    collection.insert([list(keys), [text(key) for key in keys], [[float(key)] * 8 for key in keys]])


def assert_equal(copy: Collection) -> None:
    for first in range(0, ROWS, TURN):
        rows = copy.query(f"{first} <= id < {first + TURN}", output_fields=["id", "text"],
                          consistency_level="Eventually")
        assert sorted(row["id"] for row in rows) == list(range(first, first + TURN))
        assert all(row["text"] == text(row["id"]) for row in rows)


def test_backlog_does_not_fill_the_memory(new_cdc, rig, source, target, monkeypatch):
    """96 MB come while the target takes 0.3 MB/s; then it gets fast again and has all of them, once."""
    monkeypatch.setenv("ASAN_OPTIONS", "quarantine_size_mb=1:malloc_context_size=2")  # what was freed would count
    server = new_cdc({"memoryBudget": BUDGET_MB})
    narrow = rig.proxy("narrow", to=target.address)
    name = fresh()
    collection = long_texts(name)
    task = server.create(target, {"default": [{"name": name, "use_start_position": True}]},
                         milvus_connect_param={"uri": f"http://{narrow.address}"})
    copy = serve(collection)
    narrow.bandwidth(300_000)
    before = resident(server)
    most = before
    for first in range(0, ROWS, TURN):
        insert(collection, range(first, first + TURN))
        most = max(most, resident(server))
    held = narrow.counts()["to_server"]
    assert held < ROWS * ROW_BYTES / 2, "the target was not slow"
    assert server.get(task)["state"] == "Running"
    narrow.heal()

    def all_there() -> bool:
        nonlocal most
        most = max(most, resident(server))
        return count(copy) == ROWS

    wait_until(all_there, 120, "all rows are there")
    assert_equal(copy)
    print(f"{(most - before) >> 20} MiB more than at rest")
    assert most - before < MOST_BYTES, f"{(most - before) >> 20} MiB more than at rest"
