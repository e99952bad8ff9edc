"""The server is killed at random moments under a load of every kind; both sides are compared again and again.

run(seed, count, minutes) brings up peers of its own. A kill comes after a number of steps of the load that
the seed gives; where in the server that is, nobody chooses.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from helpers import fresh
from rig import Rig

from .crash import Story

COMPARE_EVERY = 10


@dataclass
class Figures:
    kills: int = 0
    comparisons: int = 0
    rows_compared: int = 0
    steps: int = 0
    turns: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (f"{self.kills} kills in {self.seconds:.0f} s, {self.steps} calls of rows and {self.turns} turns of "
                f"databases, collections, partitions, indexes and aliases; {self.comparisons} comparisons of "
                f"{self.rows_compared} rows")


def loop(rig: Rig, seed: object, count: int, minutes: float, log=print) -> Figures:
    """On a rig that has source and target. AssertionError when the sides differ."""
    source, target = rig.part("source"), rig.part("target")
    source.connect()
    target.connect()
    cdc = rig.cdc(source, name=fresh("kills"))
    dice, figures = random.Random(f"kills/{seed}"), Figures()
    story = Story(source, target, seed)
    begin = time.monotonic()
    cdc.create(target, story.selection, task_id="kills")
    story.begin()
    try:
        while figures.kills < count and time.monotonic() < begin + minutes * 60:
            dice.choice(story.rows).more(dice.choice((1, 2, 5, 12)))
            if dice.random() < 0.15:
                story.turn(loaded=dice.random() < 0.5)
            cdc.kill()
            cdc.start()
            figures.kills += 1
            if figures.kills % COMPARE_EVERY == 0 or figures.kills == count:
                story.settle()
                figures.comparisons += 1
            figures.rows_compared, figures.turns = story.compared, story.turns
            figures.steps, figures.seconds = sum(r.steps for r in story.rows), time.monotonic() - begin
            if figures.kills % COMPARE_EVERY == 0:
                log(f"kills: {figures}", flush=True)
        story.settle()
    finally:
        story.end()
        if not cdc.stop():
            raise AssertionError("the server did not end on SIGTERM")
        assert not cdc.findings(), cdc.findings()
    return figures


def run(seed: object, count: int = 200, minutes: float = 60, log=print) -> Figures:
    """The whole: peers, the loop, and away with them."""
    with Rig() as rig:
        rig.pair(mq="kafka", dml_channels=16)
        return loop(rig, seed, count, minutes, log)
