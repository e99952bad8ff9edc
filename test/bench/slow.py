"""A target that is slower than the source for minutes: memory stays bounded, and all arrives when it is fast again."""

from __future__ import annotations

import time

import catchup
import parts
import queues
from rig import RigError


def run(rig, options) -> dict:
    queue = queues.of(rig, options.build)
    work = catchup.filled(rig, queue, options)
    with catchup.server_and_sink(rig, 0, options) as (cdc, sink):
        narrow = rig.proxy("narrow", to=sink.address)
        try:
            return _measure(cdc, sink, narrow, work, options)
        finally:
            rig.remove(narrow)


def _measure(cdc, sink, narrow, work: dict, options) -> dict:
    narrow.bandwidth(options.slow_mb_s * 1e6)
    begin = time.monotonic()
    cdc.create(sink, {"default": [{"name": work["collection"], "use_start_position": True}]},
               milvus_connect_param={"uri": f"http://{narrow.address}"})
    while time.monotonic() - begin < options.slow_s:
        if not cdc.alive():
            raise RigError(f"the server ended\n{cdc.log_tail()}")
        time.sleep(0.5)
    meanwhile, slow_rss = sink.counts()["bytes"], parts.memory_mb(cdc.pid)["VmHWM"]
    narrow.heal()
    end, counts, _, _ = catchup.wait_end(cdc, sink, work["bytes"] * 0.97)
    result = {"slow_s": options.slow_s, "mb_s_meanwhile": meanwhile / 1e6 / options.slow_s, "slow_rss_mb": slow_rss,
              "peak_rss_mb": parts.memory_mb(cdc.pid)["VmHWM"], "messages": counts["msgs"], "bytes": counts["bytes"],
              "seconds": end - begin}
    print(f"slow: {result['mb_s_meanwhile']:.1f} MB/s for {options.slow_s} s, peak RSS {result['peak_rss_mb']:.0f} MB, "
          f"all there after {result['seconds']:.0f} s", flush=True)
    return result
