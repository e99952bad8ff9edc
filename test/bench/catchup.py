"""Catch-up: a task that starts at the beginning of a collection with hundreds of MB behind it.

The collection is filled through the source Milvus, so the queue holds what a real source wrote. The task's
target is cdc-sink, which forwards everything to the real target but swallows the rows: what is measured is
the server (and the queue), not how fast a Milvus can take rows.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import threading
import time
from pathlib import Path

import numpy
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

import parts
import queues
from rig import RigError, wait_until

FILLERS = 3      # threads that insert
BODIES = 16      # different sets of vectors, so that no two messages in a row are equal
QUIET_S = 1.0    # no row for so long: the end was reached
TICK_ROOM = 16 << 10  # what ticks may add meanwhile
LAST_RUN_S = 240


def run(rig, options) -> dict:
    queue = queues.of(rig, options.build)
    work = filled(rig, queue, options)
    floor = [_floor(queue, work) for _ in range(options.runs)]
    results = {"floor_title": queue.floor_title, "floor": floor, "messages": floor[0]["messages"], "bytes": work["bytes"], "runs": []}
    for number in range(options.runs):  # rounds, so that a noisy minute meets every delay alike
        for rtt_ms in options.rtt_ms:
            one = _run(rig, work, rtt_ms, number, options)
            results["runs"].append(one)
            print(f"catch-up rtt {rtt_ms:3} ms: {one['mb_s']:6.1f} MB/s, {one['cpu_s_gb']:.2f} CPU s/GB, "
                  f"peak RSS {one['peak_rss_mb']:.0f} MB, others used {one['others_cores']:.2f} cores", flush=True)
    results["median"] = {str(rtt): _median([r for r in results["runs"] if r["rtt_ms"] == rtt])
                         for rtt in options.rtt_ms}
    return results


def _median(runs: list[dict]) -> dict:
    return {key: statistics.median(r[key] for r in runs)
            for key in ("mb_s", "cpu_s_gb", "user_s_gb", "system_s_gb", "peak_rss_mb", "calls", "others_cores")}


# the rows ----------------------------------------------------------------------------------------

def filled(rig, queue, options) -> dict:
    """{"collection", "topics": {name: [first, end]}, "bytes"}; an earlier run's with --dir."""
    state = rig.dir / f"bench-{options.mb}-{options.dim}-{options.rows}-{options.shards}.json"
    if state.exists():
        return json.loads(state.read_text())
    source = rig.part("source")
    name = f"catchup_{int(time.time())}"
    schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True),
                               FieldSchema("v", DataType.FLOAT_VECTOR, dim=options.dim)])
    Collection(name, schema, using=source.connect(), shards_num=options.shards)
    stub, metadata = source.stub()
    told = stub.DescribeCollection(milvus_pb2.DescribeCollectionRequest(collection_name=name), metadata=metadata)
    first = {t: queue.end(t) for t in told.physical_channel_names}
    begin = time.monotonic()
    rows = _fill(source, name, options)
    work = {"collection": name, "topics": {t: [n, queue.end(t)] for t, n in first.items()}}
    wait_until(lambda: all(queue.behind(t, end) >= 10 for t, (_, end) in work["topics"].items()), 60,
               "ticks follow the rows")
    work["bytes"] = queue.floor(work["topics"])["bytes"]
    print(f"catch-up: {rows} rows of dimension {options.dim} inserted into {options.shards} shards in "
          f"{time.monotonic() - begin:.0f} s", flush=True)
    state.write_text(json.dumps(work))
    return work


def _fill(source, name: str, options) -> int:
    row_bytes = options.dim * 4 + 20  # vector, key, row id, timestamp: what a message holds of a row
    inserts = options.mb * 1_000_000 // (row_bytes * options.rows) + 1
    numbers, lock, failures = iter(range(inserts)), threading.Lock(), []

    def insert() -> None:
        stub, metadata = source.stub()
        bodies = [_request(name, options, seed) for seed in range(BODIES)]
        while not failures:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            request = bodies[number % BODIES]
            keys = range(number * options.rows, (number + 1) * options.rows)
            request.fields_data[0].scalars.long_data.data[:] = keys
            answer = stub.Insert(request, metadata=metadata, timeout=60)
            if answer.status.error_code or answer.status.code:
                failures.append(answer.status.reason)

    threads = [threading.Thread(target=insert) for _ in range(FILLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RigError(f"the source refused an insert: {failures[0]}")
    return inserts * options.rows


def _request(name: str, options, seed: int):
    """An insert without keys."""
    keys = schema_pb2.FieldData(field_name="id", field_id=100, type=schema_pb2.Int64)
    vectors = schema_pb2.FieldData(field_name="v", field_id=101, type=schema_pb2.FloatVector)
    vectors.vectors.dim = options.dim
    dice = numpy.random.default_rng(seed)
    vectors.vectors.float_vector.data.extend(
        dice.random(options.rows * options.dim, dtype=numpy.float32).tolist())
    return milvus_pb2.InsertRequest(collection_name=name, partition_name="_default",
                                    fields_data=[keys, vectors], num_rows=options.rows)


# the measurements --------------------------------------------------------------------------------

def _floor(queue, work: dict) -> dict:
    """The same topics read and thrown away."""
    floor = queue.floor(work["topics"])
    floor["mb_s"] = floor["bytes"] / 1e6 / floor["seconds"]
    floor["cpu_s_gb"] = floor["cpu_s"] / (floor["bytes"] / 1e9)
    print(f"floor ({queue.floor_title}): {floor['mb_s']:6.1f} MB/s, {floor['cpu_s_gb']:.2f} CPU s/GB, "
          f"peak RSS {floor['peak_rss_mb']:.0f} MB", flush=True)
    return floor


def _run(rig, work: dict, rtt_ms: int, number: int, options) -> dict:
    profile = options.out / f"perf-rtt{rtt_ms}-{number}.data" if options.profile else None
    with server_and_sink(rig, rtt_ms, options) as (cdc, sink), _profiled(cdc.pid, profile):
        return _measure(cdc, sink, work, rtt_ms)


@contextlib.contextmanager
def server_and_sink(rig, rtt_ms: int, options):
    """Fresh ones, gone afterwards; the server's log is kept."""
    for left in {"sink", "bench-cdc"} & rig.parts.keys():  # by a run on the same --dir that was killed
        rig.remove(rig.part(left))
    sink = parts.new_sink(rig, rig.part("target"), rtt_ms, options.build)
    cdc = parts.new_server(rig, parts.reads_of(rig.part("source")), options)
    try:
        yield cdc, sink
    finally:
        (options.out / "milvus-cdc.log").write_bytes(cdc.log_path.read_bytes())
        rig.remove(cdc)
        rig.remove(sink)


@contextlib.contextmanager
def _profiled(pid: int, path: Path | None):
    if path is None:
        yield
        return
    perf = subprocess.Popen(["perf", "record", "-q", "-F", "999", "--call-graph", "dwarf,4096", "-p", str(pid),
                             "-o", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield
    finally:
        perf.terminate()
        perf.wait(timeout=120)


def _measure(cdc, sink, work: dict, rtt_ms: int) -> dict:
    user0, system0 = parts.cpu_seconds(cdc.pid)
    busy0, begin = parts.busy_seconds(), time.monotonic()
    cdc.create(sink, {"default": [{"name": work["collection"], "use_start_position": True}]})
    end, counts, cpu, busy = wait_end(cdc, sink, work["bytes"] * 0.97)
    user, system = (now - then for now, then in zip(cpu, (user0, system0)))
    gb, seconds = work["bytes"] / 1e9, end - begin
    return {
        "rtt_ms": rtt_ms, "seconds": seconds, "mb_s": gb * 1000 / seconds, "user_s_gb": user / gb,
        "system_s_gb": system / gb, "cpu_s_gb": (user + system) / gb,
        "peak_rss_mb": parts.memory_mb(cdc.pid)["VmHWM"], "calls": counts["calls"], "messages": counts["msgs"],
        "bytes": counts["bytes"], "others_cores": (busy - busy0 - user - system) / seconds,
    }


def wait_end(cdc, sink, expected: float) -> tuple:
    """When the last row came, with the counts and the CPU time of then."""
    deadline = time.monotonic() + LAST_RUN_S
    last = None
    while True:
        now, counts = time.monotonic(), sink.counts()
        if counts["bad"]:
            raise RigError(f"cdc-sink met requests it could not read: {counts}")
        if last is None or counts["bytes"] > last[1]["bytes"] + TICK_ROOM:
            last = now, counts, parts.cpu_seconds(cdc.pid), parts.busy_seconds()
        elif counts["bytes"] >= expected and now - last[0] > QUIET_S:
            return last
        if now > deadline or not cdc.alive():
            raise RigError(f"catch-up stopped at {counts} of {expected:.0f} bytes\n{cdc.log_tail()}")
        time.sleep(0.02)
