"""Breaks things between real peers on purpose and checks that nothing is lost or doubled.

    tools/chaos all --seed 7            every section, each with its share of --minutes (60)
    tools/chaos lifecycle --seed 7 --count 10

The figures are left in build/chaos: report.md and report.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable

from rig import Rig, together

from . import api, damage, fuzz_messages, garbage, kills, lifecycle, peers, programs, scenarios, soak, sweep
from .tally import OUT, Tally
from .world import STORES, World



def new_rig(queue: str) -> Rig:
    """Source and target, and a queue that can be reached by its proxy, too."""
    rig = Rig()
    wire = rig.proxy("wire")
    together(rig.etcd, lambda: getattr(rig, queue)(through=wire.address))
    wire.target(rig.part(queue).through_address)
    # the target is on Kafka whatever the source's queue: its topics are audited
    rig.pair(mq=queue, target_mq="kafka", dml_channels=16)
    return rig


def in_world(args, tally: Tally, work: Callable[[World], None], **more) -> None:
    with new_rig(args.queue) as rig:
        world = World(rig, tally, store=args.store, **more)
        try:
            work(world)
        finally:
            world.close()


def section_peers(args, tally: Tally) -> None:
    in_world(args, tally, lambda world: peers.run(world, args.seed, args.count, args.until, args.only))


def section_lifecycle(args, tally: Tally) -> None:
    in_world(args, tally, lambda world: lifecycle.run(world, args.seed, args.count, args.until, args.only))


def section_soak(args, tally: Tally) -> None:
    in_world(args, tally, lambda world: soak.run(world, args.seed, args.until))


def section_scenarios(args, tally: Tally) -> None:
    """Each once, whatever the time."""
    with new_rig("kafka") as rig:
        if scenarios.can_mount():
            scenarios.disk_full(rig, tally)
            scenarios.disk_read_only(rig, tally)
        scenarios.clock_jumps(rig, tally)
        scenarios.retention(rig, tally)


def section_hostile(args, tally: Tally) -> None:
    """Without a Milvus: requests, garbage, fuzzed messages, damaged records; a quarter of the time each."""
    share = (args.until - time.monotonic()) / 4
    with Rig() as rig:
        together(rig.etcd, rig.kafka)
        begin = time.monotonic()
        api.run(rig, args.seed, args.count or int(share * 4), tally, examples=max(20, int(share / 2)))
        garbage.run(rig, args.seed, args.count, tally, until=begin + 2 * share)
        damage.run(rig, args.seed, args.count or max(1, int(share / 40)), tally)
        fuzz_messages.run(rig, args.seed, args.count, tally, until=lambda: time.monotonic() > args.until)


def section_calls(args, tally: Tally) -> None:
    with Rig() as rig:
        together(rig.etcd, rig.kafka)
        soak.calls(rig, args.seed, args.count or 10000, tally, args.until)


def section_kills(args, tally: Tally) -> None:
    figures = kills.run(args.seed, args.count or 10000, (args.until - time.monotonic()) / 60)
    tally.add("kills", figures.kills)
    tally.add("rows compared", figures.rows_compared)


def section_sweep(args, tally: Tally) -> None:
    """A kill at each failpoint that the build has; an optimized one has none."""
    def log(text: str, **_more) -> None:
        tally.add("kills", " killed," in text)
        print(f"  {text}", flush=True)

    with Rig() as rig:
        rig.pair(mq="kafka", dml_channels=16)
        for text in sweep.run(rig, args.seed, (args.until - time.monotonic()) / 60, log=log):
            tally.find(text)


def section_faults(args, tally: Tally) -> None:
    programs.faults(tally, args.until)


def section_valgrind(args, tally: Tally) -> None:
    programs.valgrind(tally, args.until)


@dataclass(frozen=True)
class Section:
    """share: of the time of all; queue and store: of that run."""

    work: Callable
    share: float
    queue: str = "kafka"
    store: str = "sqlite"


SECTIONS = {
    "sweep": Section(section_sweep, 8),
    "kills": Section(section_kills, 10),
    "peers": Section(section_peers, 9),
    "peers on pulsar and mysql": Section(section_peers, 6, "pulsar", "mysql"),
    "peers on etcd": Section(section_peers, 4, store="etcd"),
    "lifecycle": Section(section_lifecycle, 9),
    "scenarios": Section(section_scenarios, 3),
    "hostile": Section(section_hostile, 6),
    "calls": Section(section_calls, 3),
    "soak": Section(section_soak, 5),
    "faults": Section(section_faults, 4),
    "valgrind": Section(section_valgrind, 3),
}


def run(name: str, args, minutes: float) -> Tally:
    """One section; whatever goes wrong in it is a finding."""
    tally, section = Tally(name), SECTIONS[name]
    args.queue, args.store = args.queue or section.queue, args.store or section.store
    args.until = time.monotonic() + minutes * 60
    print(f"== {name}, seed {args.seed}, {minutes:.1f} min, {args.queue}, {args.store}", flush=True)
    try:
        section.work(args, tally)
    except (Exception, KeyboardInterrupt):
        tally.find(traceback.format_exc())
    tally.end = time.monotonic()
    print(tally.line(), flush=True)
    return tally


def report(tallies: list[Tally], seed: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "report.json").write_text(json.dumps([t.describe() for t in tallies], indent=1) + "\n")
    total: dict = {}
    lines = [f"# Chaos, seed {seed}", "", "| Section | Seconds | What | Findings |", "|---|---|---|---|"]
    for t in tallies:
        done = ", ".join(f"{number} {what}" for what, number in sorted(t.counts.items()))
        lines.append(f"| {t.section} | {t.seconds():.0f} | {done} | {len(t.findings)} |")
        for what, number in t.counts.items():
            total[what] = total.get(what, 0) + number
    sums = ("kills", "faults", "rounds", "rows compared", "sums checked", "fuzzed messages", "damaged records",
            "garbage talks", "system calls failed", "programs under valgrind", "api requests mutated", "api requests described", "API calls")
    summary = ", ".join(f"{total.get(what, 0)} {what}" for what in sums)
    findings = [f"{t.section}: {text}" for t in tallies for text in t.findings]
    lines += ["", f"In all: {summary}; {len(findings)} findings.", ""]
    lines += [f"```\n{text[:4000]}\n```" for text in findings]
    (OUT / "report.md").write_text("\n".join(lines) + "\n")
    print(f"chaos: {summary}; {len(findings)} findings; {OUT / 'report.md'}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/chaos", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=["all", *SECTIONS])
    parser.add_argument("--seed", default=str(int(time.time())), help="repeats a run; the default is the time")
    parser.add_argument("--count", type=int, default=0, help="so many rounds")
    parser.add_argument("--minutes", type=float, default=0, help="or as many as fit (60 for all, else 5)")
    parser.add_argument("--queue", choices=("kafka", "pulsar"), help="of the source")
    parser.add_argument("--store", choices=STORES, help="of the server")
    parser.add_argument("--only", default="", help="only what has this in its name")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # rigs are taken down
    names = list(SECTIONS) if args.section == "all" else [args.section]
    minutes = args.minutes or (60 if args.section == "all" else 5)
    shares = sum(SECTIONS[name].share for name in names)
    tallies = []
    for name in names:
        each = argparse.Namespace(**vars(args))
        tallies.append(run(name, each, minutes * SECTIONS[name].share / shares))
    report(tallies, args.seed)
    return 1 if any(t.findings for t in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
