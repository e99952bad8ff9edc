"""Lag: how much later than on the source a row can be queried on the target.

A row is inserted on the source, and both sides are asked for it at once, each by its own thread, until it is
there. The difference is taken row by row, so what slows both (a busy machine, Milvus' own time ticks) cancels.
"""

from __future__ import annotations

import random
import statistics
import threading
import time

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, MilvusException, utility

import parts
from rig import RigError, wait_until

POLL_S = 0.004
ROW_S = 30
DIM = 8


def run(rig, options) -> dict:
    source, target = rig.part("source"), rig.part("target")
    cdc = parts.new_server(rig, parts.reads_of(source), options)
    try:
        source.connect(), target.connect()
        sides = _collection(cdc, target)
        cpu = sum(parts.cpu_seconds(cdc.pid))
        begin = time.monotonic()
        rows = [_probe(sides, key) for key in range(options.probes)]
        cpu = (sum(parts.cpu_seconds(cdc.pid)) - cpu) / (time.monotonic() - begin)
        results = {"probes": len(rows), "idle_cores": cpu, "idle_rss_mb": parts.memory_mb(cdc.pid)["VmRSS"],
                   "source_ms": _spread([r[0] for r in rows]), "target_ms": _spread([r[1] for r in rows]),
                   "difference_ms": _spread([r[1] - r[0] for r in rows]),
                   "target_first": sum(r[1] < r[0] for r in rows), "rows_s": rows}
        utility.drop_collection(sides[0].name, using="source")
    finally:
        (options.out / "milvus-cdc-lag.log").write_bytes(cdc.log_path.read_bytes())
        rig.remove(cdc)
    for name in ("source_ms", "target_ms", "difference_ms"):
        print(f"lag {name}: {results[name]}", flush=True)
    return results


def _spread(values: list[float]) -> dict:
    ordered = sorted(v * 1000 for v in values)
    pick = lambda share: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)
    return {"min": round(ordered[0], 1), "p50": round(statistics.median(ordered), 1), "p90": pick(0.9), "max": round(ordered[-1], 1)}


def _collection(cdc, target) -> tuple[Collection, Collection]:
    """The same loaded collection on the source and, through the server, on the target."""
    name = f"lag_{int(time.time())}"
    schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True),
                               FieldSchema("v", DataType.FLOAT_VECTOR, dim=DIM)])
    cdc.create(target, {"default": [{"name": name}]})
    here = Collection(name, schema, using="source", shards_num=1)
    here.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    here.load()
    wait_until(lambda: utility.has_collection(name, using="target"), 60, f"{name} is on the target")
    there = Collection(name, using="target")
    wait_until(lambda: _found(there, 0) is not None, 60, f"{name} is loaded on the target")
    here.insert([[10**6], [[0.5] * DIM]])
    wait_until(lambda: _found(there, 10**6), 60, "the first row is on the target")
    return here, there


def _found(collection: Collection, key: int) -> bool | None:
    """None: it can't be asked yet."""
    try:
        return bool(collection.query(f"id == {key}", output_fields=["id"], consistency_level="Eventually", timeout=10))
    except MilvusException:
        return None


def _probe(sides: tuple[Collection, Collection], key: int) -> list[float]:
    """Seconds from the insert call until the row was found, on the source and on the target."""
    begin, seen = time.monotonic(), [0.0, 0.0]

    def watch(side: int) -> None:
        while not seen[side] and time.monotonic() - begin < ROW_S:
            if _found(sides[side], key):
                seen[side] = time.monotonic() - begin
            else:
                time.sleep(POLL_S)

    order = (0, 1) if key % 2 else (1, 0)  # who asks first sees the row a little earlier
    threads = [threading.Thread(target=watch, args=(side,)) for side in order]
    sides[0].insert([[key], [[0.1] * DIM]])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(seen):
        raise RigError(f"row {key} was not found within {ROW_S} s: {seen}")
    time.sleep(random.random() * 0.3)  # ticks come every 200 ms: meet them at any time
    return seen
