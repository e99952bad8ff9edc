"""The benches that need no Milvus: floor, small, load, late, scale, ddl, counts. Each is bounded by its options.

What a row's lag is here: cdc-sink notes for each time tick of the source when the call came that carries it or a
later one (lags.h); that is when its rows can be seen on the target.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from pathlib import Path

import parts
import queues
import spans
import stand
from rig import RigError, wait_until

MESSAGE_ROWS = 1000      # of dimension 128: half a megabyte
SMALL_ROWS, SMALL_DIM = 10, 768
MB = 1_000_000
SETTLE_S = 3             # after a task was created, before it is measured
WAIT_S = 240


def _message_bytes(rows: int, dim: int) -> int:
    return rows * (dim * 4 + 20)


def _mb_s(run: dict) -> dict:
    """Figures per size of a run that has bytes, seconds and CPU seconds."""
    gb = run["bytes"] / 1e9
    cpu = run.get("cpu_s", run.get("user_s", 0) + run.get("system_s", 0))
    return run | {"mb_s": gb * 1000 / run["seconds"], "cpu_s_gb": cpu / gb}


# floor -------------------------------------------------------------------------------------------

def floor(rig, options) -> dict:
    """The same topic consumed alone, the same bytes uploaded alone, and both by the server, in one run."""
    source = stand.source(rig, options.shards)
    c = source.collections(1, options.shards, age_s=120)
    count = max(options.mb * MB // _message_bytes(MESSAGE_ROWS, 128), options.shards)
    size = source.history(c[0], count, MESSAGE_ROWS, 60)
    queue = queues.Kafka(rig, options.build)
    ranges = {t: [0, source.kafka.ends(t)[1]] for t in source.pchannels}
    result: dict = {"bytes": size, "messages": count, "consume": [], "upload": [], "runs": []}
    with source.ticking():
        for _ in range(options.runs):
            result["consume"].append(_mb_s(queue.floor(ranges)))
            result["upload"].append(_mb_s(_upload(rig, size, options)))
            for rtt in options.rtt_ms:
                with stand.server(rig, source, options, rtt) as (cdc, sink):
                    run = _mb_s(stand.catch_up(cdc, sink, c, count))
                result["runs"].append(run | {"rtt_ms": rtt})
                print(f"floor: rtt {rtt} ms: {run['mb_s']:.0f} MB/s, {run['cpu_s_gb']:.2f} CPU s/GB, "
                      f"peak RSS {run['peak_rss_mb']:.0f} MB", flush=True)
    return result


def _upload(rig, size: int, options) -> dict:
    sink = parts.new_sink(rig, None, 0, options.build)
    try:
        done = subprocess.run([options.build / "test/upload-floor", sink.address, str(size), str(8 << 20),
                               str(options.shards)], capture_output=True, text=True, timeout=WAIT_S)
    finally:
        rig.remove(sink)
    if done.returncode:
        raise RigError(f"upload-floor: {done.stderr.strip()}")
    return json.loads(done.stdout)


# small messages ----------------------------------------------------------------------------------

def small(rig, options) -> dict:
    """Calls of a handful of rows over a long round trip: how many leave in the time of one?"""
    source = stand.source(rig, options.shards, SMALL_DIM)
    c = source.collections(1, options.shards, age_s=120)
    source.history(c[0], options.small, SMALL_ROWS, 60)
    with source.ticking(), stand.server(rig, source, options, options.small_rtt_ms) as (cdc, sink):
        run = _mb_s(stand.catch_up(cdc, sink, c, options.small))
    one_by_one = options.shards * 1000 / options.small_rtt_ms  # messages a second, a call each
    run |= {"messages": options.small, "rtt_ms": options.small_rtt_ms, "messages_s": options.small / run["seconds"],
            "times": options.small / run["seconds"] / one_by_one}
    print(f"small: {run['messages_s']:.0f} messages/s, {run['times']:.0f} times one call each", flush=True)
    return run


# load: lag while rows come -----------------------------------------------------------------------

class Load:
    """Rows at a pace, from a thread."""

    def __init__(self, source, collections: list, mb_s: float):
        self.source, self.collections, self.mb_s = source, collections, mb_s
        self.written, self.stop = 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        begin, number = time.monotonic(), 0
        while not self.stop.is_set():
            ahead = self.written / (self.mb_s * MB) - (time.monotonic() - begin)
            if ahead > 0:
                self.stop.wait(min(ahead, 0.05))
                continue
            c = self.collections[number % len(self.collections)]
            self.written += self.source.insert(c, MESSAGE_ROWS, number // len(self.collections) % len(c.pchannels))
            number += 1

    def __enter__(self) -> "Load":
        if self.mb_s:
            self.thread.start()
        return self

    def __exit__(self, *_exc) -> None:
        self.stop.set()
        if self.mb_s:
            self.thread.join()


def _lags(sink, seconds: float) -> dict[str, list]:
    sink.reset()
    time.sleep(seconds)
    return sink.lags()


def load(rig, options) -> dict:
    """Lag at shares of what the machine can do at all, which is measured first."""
    source = stand.source(rig, 4)
    c = source.collections(4, 1, age_s=120)
    count = max(options.mb * MB // _message_bytes(MESSAGE_ROWS, 128) // 4, 4)
    for one in c:
        source.history(one, count, MESSAGE_ROWS, 30)
    result: dict = {"runs": []}
    with source.ticking(), stand.server(rig, source, options) as (cdc, sink):
        result["full_mb_s"] = _mb_s(stand.catch_up(cdc, sink, c, 4 * count))["mb_s"]
        for share in options.load:
            pace = result["full_mb_s"] * share / 100
            with Load(source, c, pace) as rows:
                time.sleep(SETTLE_S)
                written, cpu = rows.written, sum(parts.cpu_seconds(cdc.pid))
                lags = spans.merge(_lags(sink, options.seconds))
                run = {"share": share, "mb_s": (rows.written - written) / MB / options.seconds, "wanted_mb_s": pace,
                       "cores": (sum(parts.cpu_seconds(cdc.pid)) - cpu) / options.seconds,
                       "peak_rss_mb": parts.memory_mb(cdc.pid)["VmHWM"], "lag_ms": spans.spread(lags), "counts": lags}
            result["runs"].append(run)
            print(f"load {share} %: {run['mb_s']:.0f} of {pace:.0f} MB/s, lag {run['lag_ms']}", flush=True)
    return result


# late stream -------------------------------------------------------------------------------------

def late(rig, options) -> dict:
    """Some live streams; then one more begins hours behind. What do the others notice?"""
    source = stand.source(rig, 4)
    live = source.collections(3, 1, prefix="live", first=0)
    behind = source.collections(1, 1, prefix="late", first=3, age_s=4 * 3600)
    count = options.mb * MB // _message_bytes(MESSAGE_ROWS, 128)
    size = source.history(behind[0], count, MESSAGE_ROWS, options.late_h * 3600)
    with source.ticking(), stand.server(rig, source, options) as (cdc, sink), \
            Load(source, live, options.late_mb_s) as rows:
        cdc.create(sink, {"default": [{"name": c.name} for c in live]})
        time.sleep(SETTLE_S)
        before = spans.merge(_lags(sink, options.seconds))
        known = set(sink.lags())
        sink.reset()
        begin, had = time.monotonic(), rows.written
        cdc.create(sink, {"default": [{"name": behind[0].name, "use_start_position": True}]})
        wait_until(lambda: sink.counts()["bytes"] >= size + rows.written - had - 2 * MB, WAIT_S, "the late rows are there")
        seconds = time.monotonic() - begin
        during = spans.merge(sink.lags(), lambda name: name in known)
        peak = parts.memory_mb(cdc.pid)["VmHWM"]
    result = {"hours": options.late_h, "bytes": size, "seconds": seconds, "live_mb_s": options.late_mb_s,
              "before_ms": spans.spread(before), "during_ms": spans.spread(during), "peak_rss_mb": peak,
              "before": before, "during": during}
    print(f"late: others' lag before {result['before_ms']}, during {result['during_ms']}", flush=True)
    return result


# scale -------------------------------------------------------------------------------------------

def scale(rig, options) -> dict:
    """Start-up, memory and idle CPU by collections and channels."""
    runs = []
    for channels, count in options.scale:
        source = stand.source(rig, channels)
        made = source.collections(count)
        with source.ticking(), stand.server(rig, source, options) as (cdc, sink):
            runs.append({"channels": channels, "collections": count} | _scale(cdc, sink, source, made, options))
        print(f"scale: {runs[-1]}", flush=True)
    return {"runs": runs}


def _scale(cdc, sink, source, made: list, options) -> dict:
    empty = parts.memory_mb(cdc.pid)["VmRSS"]
    begin = time.monotonic()
    cdc.create(sink, {"*": [{"name": "*"}]})
    wait_until(lambda: sink.counts()["collections"] >= len(made), WAIT_S, "all are on the target", pause=0.1)
    created = time.monotonic() - begin
    probes = [made[0], made[len(made) // 2], made[-1]]
    _probe(sink, source, probes)
    time.sleep(SETTLE_S)
    cpu = sum(parts.cpu_seconds(cdc.pid))
    time.sleep(options.seconds)
    idle = (sum(parts.cpu_seconds(cdc.pid)) - cpu) / options.seconds
    memory = parts.memory_mb(cdc.pid)
    result = {"create_s": created, "idle_cores": idle, "rss_mb": memory["VmRSS"], "peak_rss_mb": memory["VmHWM"],
              "empty_rss_mb": empty, "kb_each": (memory["VmRSS"] - empty) * 1000 / len(made),
              "threads": parts.threads(cdc.pid)}
    cdc.stop()
    for c in probes:
        source.insert(c, SMALL_ROWS)
    source.flush()
    sink.reset()
    begin = time.monotonic()
    cdc.start()
    for rows, name in ((1, "first_row_s"), (len(probes), "all_rows_s")):
        wait_until(lambda: sink.counts()["rows"] >= rows, WAIT_S, "rows after a restart", pause=0.02)
        result[name] = time.monotonic() - begin
    return result


def _probe(sink, source, collections: list) -> None:
    before = sink.counts()["rows"]
    for c in collections:
        source.insert(c, SMALL_ROWS)
    source.flush()
    wait_until(lambda: sink.counts()["rows"] >= before + len(collections), WAIT_S, "a row of each probe")


# DDL burst ---------------------------------------------------------------------------------------

def ddl(rig, options) -> dict:
    """Many collections created, then dropped, while another one has rows."""
    source = stand.source(rig, 16)
    steady = source.collections(1, 1, prefix="steady")
    with source.ticking(), stand.server(rig, source, options) as (cdc, sink):
        cdc.create(sink, {"*": [{"name": "*"}]})
        _probe(sink, source, steady)
        channels = set(sink.lags())
        with Load(source, steady, options.late_mb_s):
            before = spans.merge(_lags(sink, options.seconds), lambda n: n in channels)
            sink.reset()
            begin = time.monotonic()
            made = source.collections(options.ddl, prefix="burst", first=1)
            wait_until(lambda: sink.counts()["collections"] > options.ddl, WAIT_S, "all are created", pause=0.05)
            created = time.monotonic() - begin
            begin = time.monotonic()
            source.drop(made)
            wait_until(lambda: sink.counts()["collections"] == 1, WAIT_S, "all are dropped", pause=0.05)
            dropped = time.monotonic() - begin
            during = spans.merge(sink.lags(), lambda n: n in channels)
        peak = parts.memory_mb(cdc.pid)["VmHWM"]
    result = {"collections": options.ddl, "create_s": created, "drop_s": dropped, "before_ms": spans.spread(before),
              "during_ms": spans.spread(during), "peak_rss_mb": peak}
    print(f"ddl: {result}", flush=True)
    return result


# instruction counts ------------------------------------------------------------------------------

def counts(rig, options) -> dict:
    """Instructions per MB under callgrind: unlike seconds they do not depend on what else runs."""
    source = stand.source(rig, options.shards)
    c = source.collections(1, options.shards, age_s=120)
    count = max(options.counts_mb * MB // _message_bytes(MESSAGE_ROWS, 128), options.shards)
    size = source.history(c[0], count, MESSAGE_ROWS, 60)
    ranges = [f"{t}@0,{source.kafka.ends(t)[1]}" for t in source.pchannels]
    read = options.out / "consume.callgrind"
    with _fresh(read):
        subprocess.run([*_callgrind(read), options.build / "test/kafka-floor", source.kafka.address, *ranges],
                       check=True, capture_output=True, timeout=WAIT_S)
    whole = options.out / "server.callgrind"
    with _fresh(whole), source.ticking():
        with stand.server(rig, source, options, wrap=_callgrind(whole)) as (cdc, sink):
            stand.catch_up(cdc, sink, c, count, WAIT_S)
            cdc.stop()
    result = {"bytes": size, "consume_per_mb": _total(read) / (size / MB), "server_per_mb": _total(whole) / (size / MB),
              "top": _top(whole, size / MB)}
    print(f"counts: {result['server_per_mb'] / 1e6:.2f} M instructions a MB, {result['consume_per_mb'] / 1e6:.2f} M of "
          "reading alone", flush=True)
    return result


@contextlib.contextmanager
def _fresh(path: Path):
    path.unlink(missing_ok=True)
    yield
    if not path.exists():
        raise RigError(f"callgrind left no {path}: is valgrind installed?")


def _callgrind(path: Path) -> tuple:
    return ("valgrind", "--tool=callgrind", f"--callgrind-out-file={path}")


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(errors="replace"), re.M)
    return int(found.group(1))


def _top(path: Path, mb: float, most: int = 15) -> list[dict]:
    """The functions with the most instructions of their own."""
    text = subprocess.run(["callgrind_annotate", path], capture_output=True, text=True, timeout=WAIT_S).stdout
    rows = re.findall(r"^\s*([\d,]+) \(\s*([\d.]+)%\)\s+(\S.*)$", text, re.M)
    return [{"per_mb": int(n.replace(",", "")) / mb, "percent": float(p), "function": where.split("/")[-1][:90]}
            for n, p, where in rows if "PROGRAM TOTALS" not in where][:most]


ALL = {f.__name__: f for f in (floor, small, load, late, scale, ddl, counts)}
