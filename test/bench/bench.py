"""Measures the server against real peers on loopback. Started by tools/bench; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import catchup
import lag
import report
import sections
import slow
from rig import Rig, RigError

ROOT = Path(__file__).resolve().parents[2]
BENCHES = {"catchup": catchup.run, "lag": lag.run, "slow": slow.run}  # these need two Milvus
QUEUES = ("kafka", "pulsar")
DEFAULT = ["catchup", "lag", "floor", "small", "load", "late", "scale", "ddl"]


def numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]


def pairs(text: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in (one.split("x") for one in text.split(","))]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, *sections.ALL, []], help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--queue", choices=[*QUEUES, "both"], default="kafka", help="what the source writes to")
    parser.add_argument("--mb", type=int, default=500, help="MB of insert messages to catch up with")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rows", type=int, default=1000, help="rows of one insert request")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--rtt-ms", type=numbers, default=[0, 20, 100], help="delays of the target's answers: 0,20,100")
    parser.add_argument("--runs", type=int, default=3, help="of each catch-up; medians are reported")
    parser.add_argument("--slow-s", type=int, default=120, help="how long the target of slow is slow")
    parser.add_argument("--slow-mb-s", type=float, default=1.0, help="how much it takes meanwhile")
    parser.add_argument("--probes", type=int, default=60, help="rows to measure the lag with")
    parser.add_argument("--seconds", type=int, default=20, help="how long lags and idle CPU are measured")
    parser.add_argument("--load", type=numbers, default=[0, 50, 80], help="shares of the full throughput, in percent")
    parser.add_argument("--small", type=int, default=20000, help="small messages")
    parser.add_argument("--small-rtt-ms", type=int, default=100)
    parser.add_argument("--late-h", type=float, default=2, help="hours that the late stream replays")
    parser.add_argument("--late-mb-s", type=float, default=5, help="what the others write meanwhile")
    parser.add_argument("--scale", type=pairs, default=[(16, 100), (16, 1000), (64, 1000), (256, 1000), (16, 10000)],
                        help="channels x collections: 16x100,256x10000")
    parser.add_argument("--ddl", type=int, default=500, help="collections created and dropped")
    parser.add_argument("--counts-mb", type=int, default=50, help="MB under callgrind")
    parser.add_argument("--server", type=Path, help="another server's binary; it must read cdc.yaml and speak the API")
    parser.add_argument("--server-args", default="server --config {config}",
                        help="its arguments; it is started in a folder with configs/cdc.yaml")
    parser.add_argument("--server-config", type=Path, help="YAML that is merged over its generated configuration")
    parser.add_argument("--deadline", type=int, default=1800, help="seconds until everything is given up")
    parser.add_argument("--dir", help="use the rig in this folder, the filled collection too, and leave it running")
    parser.add_argument("--profile", action="store_true", help="perf record of each catch-up, below --out")
    parser.add_argument("--build", default=os.environ.get("MILVUS_CDC_BUILD") or ROOT / "build/release", type=Path,
                        help="the build to measure")
    parser.add_argument("--out", default=ROOT / "build/bench", type=Path, help="folder of the report")
    options = parser.parse_args()
    options.benches = options.benches or DEFAULT
    options.build = options.build.absolute()
    options.server = (options.server or options.build / "milvus-cdc").absolute()
    options.queues = QUEUES if options.queue == "both" else (options.queue,)
    return options


@contextlib.contextmanager
def bounded(seconds: int):
    """Ends all that the bench started, whatever hangs."""
    def give_up(_number, _frame):
        raise TimeoutError(f"the bench took longer than --deadline {seconds}")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def measure(queue: str, options, results: dict) -> None:
    """Runs the benches on a rig with that queue; each queue's rig is gone before the next one comes."""
    folder = Path(options.dir) / queue if options.dir else None
    with Rig(folder, owned=not folder) as rig:
        if queue == "pulsar":
            rig.pulsar(server_jit=True)
        rig.pair(mq=queue, dml_channels=16)
        for name in [n for n in options.benches if n in BENCHES]:
            results.setdefault(queue, {})[name] = BENCHES[name](rig, options)
            report.write(results, options.out)


def measure_written(options, results: dict) -> None:
    """The benches that need no Milvus, on etcd and Kafka."""
    folder = Path(options.dir) / "written" if options.dir else None
    with Rig(folder, owned=not folder) as rig:
        rig.etcd()
        rig.kafka()
        for name in [n for n in options.benches if n in sections.ALL]:
            results.setdefault("written", {})[name] = sections.ALL[name](rig, options)
            report.write(results, options.out)


def main() -> int:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    results: dict = {"about": report.about(options)}
    try:
        with bounded(options.deadline):
            if set(options.benches) & set(sections.ALL):
                measure_written(options, results)
            for queue in options.queues if set(options.benches) & set(BENCHES) else ():
                measure(queue, options, results)
    except (RigError, TimeoutError) as error:
        print(f"bench: FAILED: {error}", file=sys.stderr)
        return 1
    print(f"bench: {options.out / 'report.md'} after {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
