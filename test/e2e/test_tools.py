"""The side tools on a real source: what they print is what the source holds."""

from __future__ import annotations

import json
import subprocess

import pytest
from pymilvus import Collection

from helpers import all_rows, fill, fresh, simple, wait_collection, wait_equal, wait_until


def run(cdc, *words: str, code: int = 0) -> str:
    """A tool with the server's own configuration; its output."""
    done = subprocess.run([cdc.options["binary"], *words, "--config", str(cdc.config_path)], capture_output=True,
                          text=True, timeout=60, cwd=cdc.dir)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr
    return done.stderr if code else done.stdout


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def of(tallies: list[dict], collection_id: int) -> dict:
    """Messages and rows by type of one collection, over its channels."""
    sums: dict = {}
    for tally in tallies:
        for name, count in tally["types"].items() if tally["collection_id"] == collection_id else ():
            messages, rows = sums.get(name, (0, 0))
            sums[name] = (messages + count["messages"], rows + count["rows"])
    return sums


def test_positions_count_inspect(cdc, source, target):
    name = fresh()
    collection = simple("source", name, shards_num=2)
    fill(collection, range(300))
    collection.delete("id in [1, 2, 3]")
    start = json.loads(run(cdc, "positions", "--collection", name, "--json"))
    assert (start["db"], start["collection"]) == ("default", name)
    assert [c["vchannel"][-2:] for c in start["channels"]] == ["v0", "v1"]
    assert start["create_ts"] >> 18 > 1_600_000_000_000
    number = start["collection_id"]
    assert json.loads(run(cdc, "positions", "--collection-id", str(number), "--json")) == start

    # what a position says is where the collection's messages begin
    for channel in start["channels"]:
        told = json.loads(run(cdc, "positions", "--decode", channel["milvus_position"], "--json"))
        assert (told["channel"], told["id"]) == (channel["pchannel"], channel["id"])
        first = lines(run(cdc, "inspect", "--channel", channel["pchannel"], "--from", channel["milvus_position"],
                          "--limit", "1", "--json"))
        assert (first[0]["type"], first[0]["collection_id"]) == ("CreateCollection", number)

    counted = of(json.loads(run(cdc, "count", "--collection", name, "--json")), number)
    assert counted["Insert"][1] == 300 and counted["Delete"][1] >= 3
    keys = run(cdc, "count", "--collection", name, "--csv").splitlines()
    assert keys[0] == "op,collection_id,ts,key"
    inserted = sorted(int(line.split(",")[3]) for line in keys if line.startswith("insert"))
    assert inserted == list(range(300))

    seen = lines(run(cdc, "inspect", "--collection", name, "--json", "--keys", "1"))
    assert sum(m.get("rows", 0) for m in seen if m["type"] == "Insert") == 300
    assert all(m["collection"] == f"default.{name}" and m["partition"] == "_default"
               for m in seen if m["type"] == "Insert")
    assert any(m["type"] == "Delete" and m["keys"] for m in seen)
    ops = lines(run(cdc, "inspect", "--channel", source.replicate_channel, "--json"))
    assert {"CreateIndex", "LoadCollection"} <= {m["type"] for m in ops if m.get("collection") == f"default.{name}"}

    # the text form names the same
    assert f"default.{name} ({number}) partition _default rows " in run(cdc, "inspect", "--collection", name)
    assert "nowhere" in run(cdc, "positions", "--collection", "nowhere", code=1)


def load(name: str) -> None:
    """On the source; the replicate channel takes it to the target, where a query shows the rows then."""
    collection = Collection(name, using="source")
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()


@pytest.fixture
def empty_target(rig):
    """A target without collections that other tests have left to load: they would keep ours from it."""
    milvus = rig.milvus("empty", target=True, dml_channels=4)
    milvus.connect()
    yield milvus
    rig.remove(milvus)


def test_create_with_printed_positions(cdc, source, empty_target):
    """The printed request replicates a collection from its beginning; that of --latest from now on."""
    name, later = fresh(), fresh()
    for each in (name, later):
        fill(simple("source", each, load=False), range(100))
    request = json.loads(run(cdc, "positions", "--collection", name, "--json"))["db_collections"]
    cdc.create(empty_target, request)
    Collection(name, using="source").flush()  # the first operation makes the replicate channel
    printed = lines(run(cdc, "positions", "--collection", later, "--latest", "--json"))
    rpc = printed[1]
    assert rpc["name"] == source.replicate_channel and rpc["position"]
    cdc.create(empty_target, printed[0]["db_collections"], rpc_channel_info=rpc)
    for each in (name, later):
        load(each)
    fill(Collection(later, using="source"), range(100, 150))
    wait_equal(Collection(name, using="source"), wait_collection(name, empty_target.name, timeout=90))
    copy = wait_collection(later, empty_target.name, timeout=90)
    wait_until(lambda: sorted(all_rows(copy)) == list(range(100, 150)), 30, "the new rows and only those are there")


def test_count_of_a_task(cdc, source, target):
    """From the stored positions of a task, beside the running server: what is not replicated yet."""
    name = fresh()
    task = cdc.create(target, {"default": [{"name": name}]})
    collection = simple("source", name)
    fill(collection, range(50))
    wait_equal(collection, wait_collection(name, "target"))
    number = json.loads(run(cdc, "positions", "--collection", name, "--json"))["collection_id"]

    def open_rows() -> int:
        text = run(cdc, "count", "--task", task, "--collection", name, "--json")
        return of(json.loads(text), number).get("Insert", (0, 0))[1]

    wait_until(lambda: open_rows() == 0, 20, "the position is stored behind all rows")
    cdc.pause_task(task)
    fill(collection, range(50, 90))
    assert open_rows() == 40
    cdc.stop()
    assert open_rows() == 40
    assert "no positions of task" in run(cdc, "count", "--task", "unknown", code=1)
    cdc.start()
