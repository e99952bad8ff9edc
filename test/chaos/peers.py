"""Faults of peers, drawn from a table with a seed, on the real peer and on the way to it.

A fault lasts for a drawn time while loads run; afterwards everything is mended, the loads go on, and the
two sides are compared row by row. Nothing but waiting brings the replication back.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Callable

from helpers import wait_until

from .world import World

SHORT, LONG = (0.3, 4.0), (8.0, 20.0)  # seconds


def _lasting(world: World, seconds: float) -> None:
    """Time under a fault; the writers may or may not get on."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5, "the fault has lasted")


# on the real peer --------------------------------------------------------------------------------

def part_of(world: World, peer: str):
    return {"queue": world.queue, "etcd": world.etcd, "source": world.source, "target": world.target,
            "store": world.rig.parts.get("mariadb") or world.etcd}[peer]


def kill(world: World, peer: str, seconds: float) -> None:
    part_of(world, peer).kill()
    _lasting(world, seconds)
    part_of(world, peer).start()


def stop(world: World, peer: str, seconds: float) -> None:
    part_of(world, peer).stop()
    _lasting(world, seconds)
    part_of(world, peer).start()


def freeze(world: World, peer: str, seconds: float) -> None:
    part_of(world, peer).pause()
    _lasting(world, seconds)
    part_of(world, peer).resume()


# on the way to it --------------------------------------------------------------------------------

def cut(world: World, peer: str, seconds: float) -> None:
    for _ in range(max(1, int(seconds))):
        world.proxies[peer].cut()
        _lasting(world, 0.3)


def reset(world: World, peer: str, seconds: float) -> None:
    for _ in range(max(1, int(seconds))):
        world.proxies[peer].cut(reset=True)
        _lasting(world, 0.3)


def refuse(world: World, peer: str, seconds: float) -> None:
    world.proxies[peer].refuse()
    _lasting(world, seconds)


def half_open(world: World, peer: str, seconds: float) -> None:
    world.proxies[peer].half_open()
    _lasting(world, seconds)


def half_open_then_reset(world: World, peer: str, seconds: float) -> None:
    """Nothing answers, then the connections break: what was under way has no answer."""
    world.proxies[peer].half_open()
    _lasting(world, seconds)
    world.proxies[peer].cut(reset=True)


def delay(world: World, peer: str, seconds: float) -> None:
    world.proxies[peer].delay(400)
    _lasting(world, seconds)


def bandwidth(world: World, peer: str, seconds: float) -> None:
    world.proxies[peer].bandwidth(20_000)
    _lasting(world, seconds)


def mid_frame(world: World, peer: str, seconds: float) -> None:
    for after in (1, 9, 100, 1000):
        world.proxies[peer].reset_mid_frame(after)
        _lasting(world, min(seconds, 0.5))


# what a target may answer ------------------------------------------------------------------------

ANSWERS = {
    "rate limit": {"status": 8, "old_code": 49, "reason": "request is rejected by grpc RateLimiter middleware"},
    "quota exceeded": {"status": 9, "old_code": 53, "reason": "quota exceeded[reason=memory quota exceeded]"},
    "denied to write": {"status": 9, "old_code": 54, "reason": "deny to write, reason: disk quota exceeded"},
    "memory limit": {"status": 3, "old_code": 52, "reason": "memory limit exceeded"},
    "not ready": {"status": 1, "old_code": 48, "reason": "service not ready"},
    "node not found": {"status": 901, "old_code": 44, "reason": "node not found"},
    "channel lacks": {"status": 500, "old_code": 1, "reason": "channel not found"},
    "no segment": {"status": 65535, "old_code": 1, "reason": "getSegmentID failed: SegmentIDAllocator failRemainRequest"},
    "unavailable": {"code": "UNAVAILABLE"}, "exhausted": {"code": "RESOURCE_EXHAUSTED"},
    "internal": {"code": "INTERNAL"}, "unknown": {"code": "UNKNOWN"}, "aborted": {"code": "ABORTED"},
    "deadline": {"code": "DEADLINE_EXCEEDED"},
}


# After these nobody knows whether the target did it. The others come before it produces anything, and a
# target that says them afterwards does not exist.
AMBIGUOUS = ("memory limit", "node not found", "unavailable", "internal", "unknown", "aborted", "deadline")


def answers(world: World, peer: str, seconds: float) -> None:
    """The target refuses calls with one answer for a while."""
    world.witness.fault("ReplicateMessage", left=10**6, **ANSWERS[peer])
    _lasting(world, seconds)


def answers_all(world: World, peer: str, seconds: float) -> None:
    """The same for every method, reads too."""
    world.witness.fault("*", left=10**6, **ANSWERS[peer])
    _lasting(world, seconds)


def lost_answers(world: World, peer: str, seconds: float) -> None:
    """The target does what it is asked, and the answer is lost."""
    world.witness.fault("ReplicateMessage", left=3, when="after", rows_only=True, **ANSWERS[peer])
    _lasting(world, seconds)


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    act: Callable[[World, str, float], None]
    peer: str
    span: tuple[float, float] = SHORT

    def __str__(self) -> str:
        return f"{self.act.__name__} {self.peer}"


def table(world: World) -> list[Fault]:
    """Every fault that this world can have."""
    rows = [Fault(act, peer) for peer in ("queue", "source", "target") for act in (kill, stop, freeze)
            if (act, peer, world.queue.kind) != (kill, "queue", "pulsar")]  # that loses messages by itself
    rows += [Fault(freeze, peer, LONG) for peer in ("queue", "target")]
    # Milvus itself ends when its etcd is away for long
    rows += [Fault(act, "etcd", (0.2, 1.0)) for act in (kill, stop, freeze)]
    if world.store == "mysql":
        rows += [Fault(act, "store") for act in (kill, stop, freeze)]
    ways = (cut, reset, refuse, half_open, half_open_then_reset, delay, bandwidth, mid_frame)
    rows += [Fault(act, peer) for peer in world.proxies for act in ways]
    rows += [Fault(act, peer, LONG) for peer in world.proxies for act in (refuse, half_open)]
    rows += [Fault(answers, name) for name in ANSWERS] + [Fault(lost_answers, name) for name in AMBIGUOUS]
    rows += [Fault(answers_all, name) for name in ("unavailable", "not ready", "rate limit", "internal")]
    return rows


def run(world: World, seed: object, count: int = 0, until: float = 0, only: str = "",
        faults: list[Fault] | None = None) -> None:
    """These faults; or count of them, or as many as fit until that time.monotonic().

    Each row of the table comes before one comes again.
    """
    dice = random.Random(f"peers/{seed}")
    world.load(seed)
    deck = list(reversed(faults or []))
    count = len(deck) or count
    done = 0
    while (done < count if count else time.monotonic() < until):
        if not deck:
            deck = [fault for fault in table(world) if only in str(fault)]
            dice.shuffle(deck)
        fault = deck.pop()
        seconds = dice.uniform(*fault.span)
        world.written(3)
        begin = time.monotonic()
        fault.act(world, fault.peer, seconds)
        world.mend()
        world.tally.add("faults")
        world.written(5)
        well = world.check(f"{fault} for {seconds:.1f} s (seed {seed}, number {done})")
        done += 1
        print(f"  {done:3d} {str(fault):40s} {seconds:5.1f} s, equal after {time.monotonic() - begin:5.1f} s"
              f"{'' if well else '  FINDING'}", flush=True)
