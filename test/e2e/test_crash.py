"""Killed at a failpoint, and at random: started again, the final rows are equal. The long forms: make chaos."""

import subprocess

import pytest

from chaos import sweep
from chaos.crash import Story
from rig.server import default_binary

SEED, POINTS = 1, 7


def has_failpoints() -> bool:
    return not subprocess.run([default_binary(), "print-docs", "failpoints"], capture_output=True).returncode


@pytest.mark.skipif(not has_failpoints(), reason="a build without failpoints")
def test_killed_at_failpoints(cdc, source, target):
    """A seeded choice of all the points that the binary lists."""
    chosen = sweep.choose(sweep.points(cdc.options["binary"]), SEED, POINTS)
    run = sweep.Sweep(cdc, source, target, SEED)
    try:
        assert [point for point, hit in chosen if not run.strike(point, hit)] == []
    finally:
        run.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_databases_replaced_while_down(cdc, source, target, how):
    """Databases go with their collections, and others of their names come; the old ones leave the target first."""
    story = Story(source, target, how)
    cdc.create(target, story.selection)
    for _ in range(Story.TURNS):
        story.turn()
    story.settle()
    cdc.stop() if how == "stop" else cdc.kill()
    for _ in range(Story.TURNS):
        story.turn()
    cdc.start()
    story.settle()
