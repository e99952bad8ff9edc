"""The demo behind tools/demo: brings all up, replicates, shows it, measures the lag."""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import signal
import statistics
import sys
import threading
import time

from rig import Rig, RigError, wait_until
from rig.server import ApiError
from pymilvus import MilvusException

DIM = 8
ROWS = 1000
INDEX = {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 8, "efConstruction": 64}}
BEGIN = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGIN:6.1f} s] {text}", flush=True)


@contextlib.contextmanager
def step(title: str):
    """Says what is going on, how long it took, and in which step a failure happened."""
    begin = time.monotonic()
    say(f"{title} ...")
    try:
        yield
    except BaseException:
        say(f"FAILED: {title}")
        raise
    say(f"{title}: done in {time.monotonic() - begin:.1f} s")


def vector() -> list[float]:
    return [random.random() for _ in range(DIM)]


def make_collection(source):
    """A collection with an index, loaded, on the source."""
    from pymilvus import Collection, CollectionSchema, DataType, FieldSchema

    schema = CollectionSchema([
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("title", DataType.VARCHAR, max_length=100),
        FieldSchema("v", DataType.FLOAT_VECTOR, dim=DIM)], enable_dynamic_field=True)
    collection = Collection("demo", schema, using=source.name)
    collection.create_index("v", INDEX)
    collection.load()
    return collection


def find_on_target(target):
    """The collection on the target as soon as it is there and loaded."""
    from pymilvus import Collection, utility

    wait_until(lambda: utility.has_collection("demo", using=target.name), 60, "the target has the collection")
    wait_until(lambda: utility.load_state("demo", using=target.name).name == "Loaded", 60,
               "the target has loaded the collection")
    return Collection("demo", using=target.name)


def write_rows(collection) -> None:
    collection.insert([{"id": i, "title": f"row {i}", "v": vector(), "note": f"dynamic {i}"}
                       for i in range(ROWS)])
    collection.delete("id in [1, 2, 3]")
    collection.upsert([list(range(10, 20)), [f"new row {i}" for i in range(10, 20)],
                       [vector() for _ in range(10)]])  # this client upserts no dynamic fields


def rows(collection) -> dict:
    answer = collection.query("id >= 0", output_fields=["*"], limit=16384, consistency_level="Strong", timeout=10)
    return {row["id"]: str(sorted(row.items())) for row in answer}


def show_same(here, there) -> None:
    """Waits until the target answers the same rows, and shows some of them and a search."""
    expected = rows(here)
    wait_until(lambda: rows(there) == expected, 60, "the target has the same rows")
    say(f"source and target both hold {len(expected)} rows, equal in every field; on the target:")
    for row in there.query("id in [0, 1, 10, 20]", output_fields=["id", "title", "note"]):
        print(f"             {row}")
    query = [vector()]
    params = {"metric_type": "L2", "params": {"ef": 64}}
    for name, collection in (("source", here), ("target", there)):
        hits = collection.search(query, "v", params, limit=5, output_fields=["title"],
                                 consistency_level="Strong", timeout=10)[0]
        say(f"search on the {name}: " + ", ".join(f"{h.id} ({h.distance:.3f})" for h in hits))


def seen_after(collection, key: int, begin: float, out: list, wait: float = 30) -> None:
    """Polls until a query finds the row, and notes how long after begin that was."""
    while time.monotonic() - begin < wait:
        if collection.query(f"id == {key}", output_fields=["id"], consistency_level="Eventually", timeout=10):
            out.append(time.monotonic() - begin)
            return
        time.sleep(0.01)


def measure_lag(here, there, count: int) -> None:
    """Inserts a row at a time and polls both sides at once."""
    source, target = [], []
    for key in range(1_000_000, 1_000_000 + count):
        found: tuple[list, list] = [], []
        begin = time.monotonic()
        here.insert([{"id": key, "title": "lag", "v": vector()}])
        threads = [threading.Thread(target=seen_after, args=(c, key, begin, out))
                   for c, out in zip((here, there), found)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not found[0] or not found[1]:
            raise RigError(f"row {key} was not visible on both sides within 30 s")
        source.append(found[0][0])
        target.append(found[1][0])
        time.sleep(random.random() * 0.2)  # not in step with the 200 ms ticks
    lag = [t - s for s, t in zip(source, target)]
    say(f"visible after insert, {count} rows one at a time:")
    for name, values in (("source", source), ("target", target), ("target - source", lag)):
        cuts = statistics.quantiles(values, n=10, method="inclusive")
        print(f"             {name:16} p50 {cuts[4] * 1000:6.0f} ms   p90 {cuts[8] * 1000:6.0f} ms")


def explain(rig: Rig, cdc, source, target, task: str) -> None:
    """What to try while it runs."""
    def curl(data: str) -> str:
        return f"curl -s -X POST {cdc.uri} -d '{data}'"

    print(f"""
  source Milvus    {source.uri}
  target Milvus    {target.uri}
  CDC API          {cdc.uri}
  etcd             {rig.part("etcd").address}
  Kafka            {rig.part("kafka").address}
  task             {task}
  configuration    {cdc.config_path}
  logs             {rig.dir}/*/log

  tasks            {curl('{"request_type":"list"}')}
  positions        {curl('{"request_type":"position","request_data":{"task_id":"%s"}}' % task)}
  pause            {curl('{"request_type":"pause","request_data":{"task_id":"%s"}}' % task)}
  resume           {curl('{"request_type":"resume","request_data":{"task_id":"%s"}}' % task)}
  metrics          curl -s {cdc.uri}/metrics
""")


def run(options) -> None:
    with Rig(options.dir) as rig:
        with step("etcd, Kafka, source and target Milvus"):
            source, target = rig.pair()
            source.connect()
            target.connect()
        with step("the CDC server"):
            cdc = rig.cdc(source)
        try:
            with step("a task that replicates everything"):
                task = cdc.create(target)
            with step("a collection with an index, loaded, on the source"):
                here = make_collection(source)
            with step("the same on the target"):
                there = find_on_target(target)
            with step(f"{ROWS} rows inserted, 3 deleted, 10 upserted on the source"):
                write_rows(here)
                show_same(here, there)
            with step("the visible lag"):
                measure_lag(here, there, options.rows)
        except Exception:
            print(f"--- the end of the server's log ({cdc.log_path})\n{cdc.log_tail(30)}", file=sys.stderr)
            raise
        explain(rig, cdc, source, target, task)
        if not options.once:
            say("running until Ctrl-C")
            watch(rig)
        say("stopping everything")
    say("stopped, nothing is left")


def watch(rig: Rig) -> None:
    """Returns on Ctrl-C or SIGTERM; a part that ends by itself is an error."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1):
        for part in rig.parts.values():
            if not part.alive():
                raise RigError(f"{part.name} ended by itself\n--- {part.log_path}\n{part.log_tail(30)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after showing")
    parser.add_argument("--rows", type=int, default=30, help="rows of the lag measurement")
    parser.add_argument("--dir", help="folder for data and logs, kept at the end (default: a temporary one)")
    options = parser.parse_args()
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    try:
        run(options)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (RigError, ApiError, MilvusException, TimeoutError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
