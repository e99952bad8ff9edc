"""The command line of tools/chaos."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from rig import Rig, together

from . import lifecycle, peers
from .tally import Tally
from .world import STORES, World

ROOT = Path(__file__).resolve().parents[2]


def new_rig(queue: str, shards: int = 16) -> Rig:
    """A rig whose broker can be reached by its proxy, too."""
    rig = Rig()
    wire = rig.proxy("wire")
    together(rig.etcd, lambda: getattr(rig, queue)(through=wire.address))
    wire.target(rig.part(queue).through_address)
    # Kafka has to be there for the target: what is known of it does not depend on the source's queue
    rig.pair(mq=queue, target_mq="kafka", dml_channels=shards)
    return rig


def section_peers(args, tally: Tally) -> None:
    with new_rig(args.queue) as rig:
        world = World(rig, tally, store=args.store)
        try:
            peers.run(world, args.seed, args.count, time.monotonic() + args.minutes * 60, args.only)
        finally:
            world.close()


def section_lifecycle(args, tally: Tally) -> None:
    with new_rig(args.queue) as rig:
        world = World(rig, tally, store=args.store)
        try:
            lifecycle.run(world, args.seed, args.count, time.monotonic() + args.minutes * 60, args.only)
        finally:
            world.close()


SECTIONS = {"peers": section_peers, "lifecycle": section_lifecycle}


def run(name: str, args) -> Tally:
    tally = Tally(name)
    try:
        SECTIONS[name](args, tally)
    except Exception:
        tally.find(traceback.format_exc())
    print(tally.line(), flush=True)
    return tally


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/chaos", description=__doc__)
    parser.add_argument("section", choices=sorted(SECTIONS))
    parser.add_argument("--seed", default=str(int(time.time())), help="repeats a run; the default is the time")
    parser.add_argument("--count", type=int, default=0, help="so many rounds")
    parser.add_argument("--minutes", type=float, default=5, help="or as many as fit")
    parser.add_argument("--queue", choices=("kafka", "pulsar"), default="kafka")
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--only", default="", help="only what has this in its name")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    print(f"chaos {args.section}, seed {args.seed}", flush=True)
    tally = run(args.section, args)
    if args.json:
        args.json.write_text(json.dumps(tally.describe(), indent=1) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
