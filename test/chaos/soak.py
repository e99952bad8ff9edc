"""Nothing grows: a soak under load with tasks that come and go, and thousands of calls of the API."""

from __future__ import annotations

import os
import random
import time

from helpers import fresh, simple, wait_until
from synthetic import Synthetic

from .bare import ends_well, new_bare, still_well
from .fake_target import FakeTarget
from .tally import Tally
from .world import World


def usage(pid: int) -> dict:
    """RSS in KiB, descriptors and threads."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {"rss": int(fields["VmRSS"].split()[0]), "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(fields["Threads"])}


def flat(samples: list[dict], what: str, tally: Tally) -> None:
    """The last third is not above the second one by more than noise; the first is warming up."""
    third = len(samples) // 3
    if third < 3:
        return
    for name, slack in (("rss", 0.15), ("fds", 0.1), ("threads", 0.1)):
        middle, end = (sorted(s[name] for s in part)[third // 2] for part in (samples[third:2 * third], samples[-third:]))
        tally.counts[f"{what} {name} middle"], tally.counts[f"{what} {name} end"] = middle, end
        if end > middle * (1 + slack) + 5:
            tally.find(f"{what}: {name} grows from {middle} to {end}: {[s[name] for s in samples]}")


def run(world: World, seed: object, until: float) -> None:
    """A task under load for all the time, others that come and go beside it."""
    dice = random.Random(f"soak/{seed}")
    world.load(seed)
    samples = [usage(world.cdc.pid)]
    while time.monotonic() < until:
        name = fresh("churn")
        collection = simple("source", name, load=False, shards_num=dice.choice((1, 2)))
        task = world.cdc.create(world.entrance, {"default": [{"name": name}]})
        for _ in range(dice.randint(1, 4)):
            world.cdc.pause_task(task)
            world.cdc.resume_task(task)
        wait_until(lambda: "Running" in world.cdc.get(task)["detail"]["collection_states"], 60, "it runs")
        world.cdc.delete(task)
        world.witness.fence([f"default/{name}"], "the delete was answered")
        collection.drop(timeout=60)
        world.written(5)
        samples.append(usage(world.cdc.pid))
        world.tally.add("tasks churned")
        world.invariants(f"soak of seed {seed}")
    world.check(f"a soak of seed {seed}")
    flat(samples, "soak", world.tally)


def calls(rig, seed: object, count: int, tally: Tally, until: float) -> None:
    """count calls, or as many as fit, of create, pause, resume and delete on a few collections; memory before and after."""
    dice = random.Random(f"calls/{seed}")
    source = Synthetic(rig, headers="full", drops="tombstone")
    config = source.config()
    config["sourceConfig"].pop("pulsar")
    with FakeTarget() as target, source.ticking():
        server = new_bare(rig, fresh("calls"), config)
        names = [source.collection(fresh("called")).name for _ in range(20)]
        tasks: dict[str, str] = {}  # name to task
        paused: set[str] = set()
        samples = []
        for number in range(count):
            if time.monotonic() > until:
                break
            name = dice.choice(names)
            task = tasks.get(name)
            if not task:
                tasks[name] = server.create(target, {"default": [{"name": name}]})
            elif dice.random() < 0.25:
                server.delete(tasks.pop(name))
                paused.discard(name)
            elif name in paused:
                server.resume_task(task)
                paused.discard(name)
            else:
                server.pause_task(task)
                paused.add(name)
            tally.add("API calls")
            if number % max(1, count // 60) == 0:
                samples.append(usage(server.pid))
        still_well(server, tally, f"{count} calls of seed {seed}", server.pid)
        flat(samples, "calls", tally)
        ends_well(server, tally, f"{count} calls of seed {seed}")
        rig.remove(server)
