"""What the benches without a Milvus stand on: etcd, Kafka, a source the bench writes, a target that remembers what is
created and swallows rows, and the server."""

from __future__ import annotations

import contextlib
import time

import parts
from rig import RigError, wait_until
from written import Source


@contextlib.contextmanager
def server(rig, source, options, rtt_ms: int = 0, config: dict | None = None, wrap: tuple = ()):
    """A fresh server and its target; gone afterwards, the log is kept."""
    for left in {"sink", "bench-cdc"} & rig.parts.keys():  # by a run on the same --dir that was killed
        rig.remove(rig.part(left))
    sink = parts.new_sink(rig, None, rtt_ms, options.build)
    cdc = parts.new_server(rig, source.reads(), options, config, wrap)
    try:
        yield cdc, sink
    finally:
        (options.out / "milvus-cdc.log").write_bytes(cdc.log_path.read_bytes())
        rig.remove(cdc)
        rig.remove(sink)


def catch_up(cdc, sink, collections: list, expected: int, limit_s: float = 240) -> dict:
    """Creates a task from the beginning and waits until all rows have come."""
    user, system = parts.cpu_seconds(cdc.pid)
    begin = time.monotonic()
    cdc.create(sink, {"default": [{"name": c.name, "use_start_position": True} for c in collections]})
    wait_rows(cdc, sink, expected, limit_s)
    seconds = time.monotonic() - begin
    now = parts.cpu_seconds(cdc.pid)
    counts = sink.counts()
    return {"seconds": seconds, "user_s": now[0] - user, "system_s": now[1] - system, "calls": counts["calls"],
            "rows": counts["rows"], "bytes": counts["bytes"], "peak_rss_mb": parts.memory_mb(cdc.pid)["VmHWM"]}


def wait_rows(cdc, sink, expected: int, limit_s: float) -> None:
    def there() -> bool:
        if not cdc.alive():
            raise RigError(f"the server ended\n{cdc.log_tail()}")
        return sink.counts()["rows"] >= expected

    wait_until(there, limit_s, f"{expected} messages at the target", pause=0.02)


def source(rig, channels: int, dim: int = 128) -> Source:
    return Source(rig, channels, dim)
