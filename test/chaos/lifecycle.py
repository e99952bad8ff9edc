"""Lives of collections in generated orders, across an outage.

A script is drawn from a seed: operations before, during and after an outage on up to three names, each legal
at the source at its time. Scripts of a round run side by side against the same outage; at the end every
name must be the same on both sides: existence, schema, properties, aliases, partitions, indexes, load state,
rows. A round is repeated by its seed.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Callable

from pymilvus import Collection, Partition, utility

from helpers import fresh, rows_of, simple, wait_until
from rig import together

from .compare import wait_same
from .world import World

SHARDS = (1, 2, 16)
PHASES = ("before", "during", "after")
CALL_S = 60.0


# outages -----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Outage:
    begin: Callable[[World], None]
    end: Callable[[World], None]


def _pause(world: World) -> None:
    for task in world.tasks:
        world.cdc.pause_task(task)
    world.witness.fence([f"default/{n}" for names in world.tasks.values() for n in names], "the pause was answered")


def _resume(world: World) -> None:
    world.witness.unfence([f"default/{n}" for names in world.tasks.values() for n in names])
    for task in world.tasks:
        world.cdc.resume_task(task)


def _restart(world: World) -> None:
    world.cdc.start()
    world.pid = world.cdc.pid


def _revive_target(world: World) -> None:
    world.target.start()
    world.target.connect()


OUTAGES = {
    "server stopped": Outage(lambda w: w.cdc.stop(), _restart),
    "server killed": Outage(lambda w: w.cdc.kill(), _restart),
    "task paused": Outage(_pause, _resume),
    "target killed": Outage(lambda w: w.target.kill(), _revive_target),
    "target frozen": Outage(lambda w: w.target.pause(), lambda w: w.target.resume()),
    "target refused": Outage(lambda w: w.proxies["target"].refuse(), lambda w: w.proxies["target"].heal()),
    "queue cut": Outage(lambda w: w.proxies["queue"].refuse(), lambda w: w.proxies["queue"].heal()),
    "queue half open": Outage(lambda w: w.proxies["queue"].half_open(), lambda w: w.proxies["queue"].heal()),
    "etcd cut": Outage(lambda w: w.proxies["etcd"].refuse(), lambda w: w.proxies["etcd"].heal()),
    "etcd compacted": Outage(lambda w: w.proxies["etcd"].refuse(),
                             lambda w: (compact(w.etcd), w.proxies["etcd"].heal())),
}


def compact(etcd) -> None:
    """Forgets every revision but the last: a watch from before can't be resumed."""
    revision = etcd.call("kv/range", {"key": "AA=="})["header"]["revision"]
    etcd.call("kv/compaction", {"revision": revision, "physical": True})


# scripts -----------------------------------------------------------------------------------------

@dataclass
class Life:
    """A collection as the script knows it."""

    shards: int
    varchar: bool
    partitions: list[str] = field(default_factory=lambda: ["_default"])
    indexed: bool = False
    loaded: bool = False
    keys: int = 0
    alias: str = ""
    told: str = ""  # the phase of its last operation in the replicate channel


class Script:
    """One generated story. shards: of every collection in it."""

    def __init__(self, seed: object, shards: int, names: list[str], note: Callable[[str], None] = lambda _t: None):
        self.dice, self.shards, self.names, self.note = random.Random(f"life/{seed}"), shards, names, note
        self.lives: dict[str, Life] = {}
        self.told: list[str] = []
        self.phase, self._made = "", 0
        self.settled = True  # what was done before the outage has arrived

    def play(self, phase: str, steps: int) -> None:
        self.phase = phase
        for _ in range(steps):
            name = self.dice.choice(self.names)
            self.step(name, self.dice.choice(self.choices(name)))

    def choices(self, name: str) -> list[str]:
        """What the source allows; rows and drops are drawn more often."""
        life = self.lives.get(name)
        if not life:
            return ["create"]
        verbs = ["insert", "insert", "upsert", "delete", "drop", "recreate", "alter", "flush", "partition"]
        verbs.append("release" if life.loaded else "load")
        if len(life.partitions) > 1:
            verbs += ["unpartition", "repartition"]
        if not life.alias and len(self.lives) < len(self.names) and self._may_rename(life):
            verbs += ["rename", "rename"]
        verbs.append("unalias" if life.alias else "alias")
        return verbs

    def _may_rename(self, life: Life) -> bool:
        """Known and open (docs/reliability.md): operations by a name that changed before they were read."""
        return self.phase != "during" or life.told != "during" and self.settled

    def step(self, name: str, verb: str) -> None:
        self.told.append(f"{self.phase} {verb} {name}")
        self.note(f"{verb}/{self.phase}/{self.shards}")
        getattr(self, verb)(name)

    def collection(self, name: str) -> Collection:
        return Collection(name, using="source")

    def create(self, name: str) -> None:
        life = self.lives[name] = Life(self.shards, self.dice.random() < 0.3)
        simple("source", name, load=False, shards_num=life.shards, varchar_pk=life.varchar, timeout=CALL_S)
        if self.dice.random() < 0.6:
            self.load(name)
        self.insert(name)

    def _rows(self, name: str, keys: list[int]) -> list[dict]:
        return list(rows_of(self.collection(name), keys, self.dice.random()))

    def insert(self, name: str) -> None:
        life = self.lives[name]
        keys = list(range(life.keys, life.keys + self.dice.randint(1, 30)))
        life.keys = keys[-1] + 1
        self.collection(name).insert(self._rows(name, keys), partition_name=self.dice.choice(life.partitions),
                                     timeout=CALL_S)

    def upsert(self, name: str) -> None:
        """Into the default partition: a key that is in another one is deleted there, and there alone."""
        life = self.lives[name]
        keys = list(range(life.keys, life.keys + 10))
        life.keys += 10
        for _ in range(2):
            self.collection(name).upsert(self._rows(name, keys), timeout=CALL_S)

    def delete(self, name: str) -> None:
        life = self.lives[name]
        keys = self.dice.sample(range(life.keys), min(life.keys, 5))
        text = ", ".join(f'"{k}"' if life.varchar else str(k) for k in keys)
        self.collection(name).delete(f"id in [{text}]", timeout=CALL_S)

    def drop(self, name: str) -> None:
        self.unalias(name)
        self.collection(name).drop(timeout=CALL_S)
        del self.lives[name]

    def recreate(self, name: str) -> None:
        self.drop(name)
        self.create(name)

    def alter(self, name: str) -> None:
        """Twice: a 2.3.5 source writes a change of properties into etcd with the next one."""
        seconds = self.dice.randint(10**6, 10**7)
        for _ in range(2):
            self.collection(name).set_properties({"collection.ttl.seconds": seconds}, timeout=CALL_S)

    def flush(self, name: str) -> None:
        self.lives[name].told = self.phase
        self.collection(name).flush(timeout=CALL_S)

    def load(self, name: str) -> None:
        life, collection = self.lives[name], self.collection(name)
        if not life.indexed:
            collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}}, timeout=CALL_S)
            life.indexed = True
        collection.load(timeout=CALL_S)
        life.loaded, life.told = True, self.phase

    def release(self, name: str) -> None:
        self.collection(name).release(timeout=CALL_S)
        self.lives[name].loaded, self.lives[name].told = False, self.phase

    def partition(self, name: str) -> None:
        self._made += 1
        part = f"p{self._made}"
        self.collection(name).create_partition(part, timeout=CALL_S)
        self.lives[name].partitions.append(part)
        self.insert(name)

    def _unpartition(self, name: str) -> str:
        """Milvus drops no partition that is loaded."""
        life = self.lives[name]
        part = life.partitions.pop(self.dice.randrange(1, len(life.partitions)))
        if life.loaded:
            self.release(name)
        Partition(self.collection(name), part).drop(timeout=CALL_S)
        return part

    def unpartition(self, name: str) -> None:
        self._unpartition(name)

    def repartition(self, name: str) -> None:
        part = self._unpartition(name)
        self.collection(name).create_partition(part, timeout=CALL_S)
        self.lives[name].partitions.append(part)
        self.insert(name)

    def rename(self, name: str) -> None:
        new = self.dice.choice([n for n in self.names if n not in self.lives])
        utility.rename_collection(name, new, using="source", timeout=CALL_S)
        self.lives[new] = self.lives.pop(name)

    def alias(self, name: str) -> None:
        life = self.lives[name]
        life.alias = fresh("alias")
        utility.create_alias(name, life.alias, using="source", timeout=CALL_S)

    def unalias(self, name: str) -> None:
        life = self.lives[name]
        if life.alias:
            utility.drop_alias(life.alias, using="source", timeout=CALL_S)
            life.alias = ""

    def finish(self) -> None:
        """All that lives is loaded, so that its rows can be read."""
        self.phase = "finish"
        for name in sorted(self.lives):
            if not self.lives[name].loaded:
                self.step(name, "load")


def quiet(detail: dict) -> bool:
    return not detail["waits_for"] and not detail["waiting_operations"]


def play_round(world: World, seed: object, outage: str, scripts: list[Script], steps: int = 3) -> bool:
    """One round: its own task over the scripts' names; False when something differs."""
    names = [name for script in scripts for name in script.names]
    world.tasks.clear()
    task = world.task(names)
    dice = random.Random(f"round/{seed}")
    for phase in PHASES:
        if phase == "during":
            settled = dice.random() < 0.5  # else the outage cuts through what is still under way
            for script in scripts:
                script.settled = settled
            if settled:
                wait_until(lambda: quiet(world.cdc.get(task)["detail"]), 60, "all is done", pause=0.2)
            OUTAGES[outage].begin(world)
        together(*(lambda s=s: s.play(phase, steps) for s in scripts))
        if phase == "during":
            OUTAGES[outage].end(world)
    together(*(script.finish for script in scripts))
    before = len(world.tally.findings)
    world.invariants(f"{outage}, round {seed}")
    different = wait_same(names, world.tally, 150)
    if different:
        stories = "\n".join(f"  {s.shards} shards: {', '.join(s.told)}" for s in scripts
                            if any(name in different for name in s.names))
        world.tally.find(f"{outage}, round {seed}: {different}\n{stories}\ntask: {world.cdc.get(task)}")
    world.invariants(f"{outage}, round {seed}")
    world.cdc.delete(task)
    world.witness.fence([f"default/{name}" for name in names], "the delete was answered")
    world.tasks.clear()
    together(*(lambda s=s: clean(s) for s in scripts))
    world.invariants_of_witness()
    return len(world.tally.findings) == before


def clean(script: Script) -> None:
    """Rounds leave nothing behind: collections cost both Milvus a lot."""
    for side in ("source", "target"):
        for name in script.names:
            if utility.has_collection(name, using=side, timeout=CALL_S):
                collection = Collection(name, using=side)
                for alias in collection.aliases:
                    utility.drop_alias(alias, using=side, timeout=CALL_S)
                collection.drop(timeout=CALL_S)


def run(world: World, seed: object, count: int = 0, until: float = 0, only: str = "", scripts: int = 3,
        steps: int = 3) -> None:
    """count rounds, or as many as fit; the outages come in turn, in an order of the seed."""
    dice = random.Random(f"lifecycle/{seed}")
    deck: list[str] = []
    done, seen = 0, set()

    def note(combination: str) -> None:
        seen.add(f"{outage}/{combination}")
        world.tally.add("operations")

    while (done < count if count else time.monotonic() < until):
        deck = deck or dice.sample([o for o in OUTAGES if only in o], len([o for o in OUTAGES if only in o]))
        outage = deck.pop()
        stamp, begin = f"{seed}/{done}", time.monotonic()
        stories = [Script(f"{stamp}/{n}", SHARDS[n % len(SHARDS)], [fresh(f"life{n}{k}") for k in "abc"], note)
                   for n in range(scripts)]
        well = play_round(world, stamp, outage, stories, steps)
        world.tally.add("rounds")
        done += 1
        print(f"  {done:3d} {outage:20s} {time.monotonic() - begin:5.1f} s{'' if well else '  FINDING'}", flush=True)
    world.tally.add("combinations", len(seen))
