"""The server is killed at each of its failpoints, started again, and both sides are compared row for row.

The list of points comes from the binary (milvus-cdc print-docs failpoints), so a new one is swept without
being named here. A point that is not reached is a finding, too: nothing would be shown about it.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time

from helpers import fresh, wait_until
from rig import RigError

from .crash import Story

REACH_S = 40.0
HITS = (1, 2, 5, 20)  # of the long form
OFTEN = ("target.replicate", "queue.message", "store.positions", "store.channel", "sqlite.commit", "etcd.txn",
         "mysql.commit")
# which stores a point belongs to; the others don't get there
STORES = {"sqlite.": "sqlite", "mysql.": "mysql", "etcd.txn": "etcd"}


def points(binary: str, store: str = "sqlite") -> list[str]:
    """What the binary can be killed at with that store."""
    text = subprocess.run([binary, "print-docs", "failpoints"], check=True, capture_output=True, text=True).stdout
    return [p for p in text.split() if next((s for k, s in STORES.items() if p.startswith(k)), store) == store]


class Sweep:
    """One server with one task over a story."""

    def __init__(self, cdc, source, target, seed: object, log=print):
        self.cdc, self.target, self.log = cdc, target, log
        self.dice = random.Random(f"sweep/{seed}")
        self.story = Story(source, target, seed)
        self.task = fresh("sweep")
        self.kills = 0
        self.cdc.create(target, self.story.selection, task_id=self.task)
        self.story.begin()
        self.story.turn()
        self.story.settle()

    def close(self) -> None:
        self.story.end()

    def strike(self, point: str, hit: int) -> bool:
        """One kill at the point's hit-th passing, restart, comparison. False if it was never passed."""
        self.cdc.options["env"] = {"MILVUS_CDC_FAILPOINT": f"{point}:{hit}:kill"}
        self.cdc.stop()
        begin = time.monotonic()
        with contextlib.suppress(RigError):  # dies while it starts
            self.cdc.start()
        self._provoke()
        dead = True
        try:
            often = hit == 1 or point.rpartition(".")[0] in OFTEN
            wait_until(lambda: not self.cdc.alive(), REACH_S if often else 1, "the failpoint is reached")
        except TimeoutError:
            dead = False
        self.cdc.options["env"] = {}
        self.cdc.restart()
        self.kills += dead
        self.story.settle()
        self.log(f"{point}:{hit} {'killed' if dead else 'not reached'}, equal after {time.monotonic() - begin:.1f} s",
                 flush=True)
        return dead

    def _provoke(self) -> None:
        """Rows, one of every change, a task that comes and goes; the server may be gone at any time."""
        self.story.turn()
        task = fresh("short")
        self._ask(lambda: self.cdc.create(self.target, {"default": [{"name": fresh("none")}]}, task_id=task))
        self._ask(lambda: self.cdc.delete(task))
        for load in self.story.rows:
            load.more(self.dice.randint(1, 5))

    def _ask(self, what) -> None:
        """Until it is answered, or there is nobody to ask."""
        wait_until(lambda: not self.cdc.alive() or what() or True, 30, "the server answers")


def choose(all_points: list[str], seed: object, count: int) -> list[tuple[str, int]]:
    """A seeded choice: one point after the other, those that are passed often at some later passing."""
    dice = random.Random(f"choice/{seed}")
    chosen = dice.sample(all_points, min(count, len(all_points)))
    return [(p, dice.randint(1, 10) if p.rpartition(".")[0] in OFTEN else 1) for p in chosen]


def run(rig, seed: object, minutes: float, store: dict | None = None, name: str = "sqlite", log=print) -> list[str]:
    """The long form: every point at several passings, as many rounds as fit; findings."""
    source, target = rig.part("source"), rig.part("target")
    source.connect()
    target.connect()
    cdc = rig.cdc(source, name=fresh("sweep"), config={"metaStoreConfig": store} if store else None)
    until = time.monotonic() + minutes * 60
    found: list[str] = []
    sweep = Sweep(cdc, source, target, seed, log)
    try:
        for hit in HITS:
            for point in points(cdc.options["binary"], name):
                if time.monotonic() > until:
                    return found
                reached = sweep.strike(point, hit)
                if not reached and hit == 1:
                    found.append(f"{point} was not reached")
    finally:
        log(f"sweep: {sweep.kills} kills, {sweep.story.compared} rows compared", flush=True)
        sweep.close()
        cdc.stop()
    return found
