"""The short form of `make chaos`: fixed seeds, a little of everything. docs/reliability.md has the long form's figures.

A test fails with what the run found; `tools/chaos SECTION --seed N` repeats a section at length.
"""

from __future__ import annotations

import pytest

from chaos import api, damage, fuzz_messages, garbage, lifecycle, peers, scenarios
from chaos.tally import Tally
from chaos.world import World


@pytest.fixture
def tally(request):
    """Fails the test with what was found."""
    tally = Tally(request.node.name)
    yield tally
    print(tally.line())
    assert not tally.findings, "\n".join(tally.findings)


def test_peer_faults(rig, source, target, tally):
    """Faults on the ways to the peers and answers of the target, under load; every row equal after each."""
    world = World(rig, tally)
    try:
        peers.run(world, "short", faults=[
            peers.Fault(peers.half_open_then_reset, "target"), peers.Fault(peers.reset, "queue"),
            peers.Fault(peers.lost_answers, "unavailable"), peers.Fault(peers.answers, "quota exceeded"),
            peers.Fault(peers.freeze, "target", (1, 2))])
    finally:
        world.close()
    assert tally.counts["faults"] == 5 and tally.counts["sums checked"] > 20


@pytest.mark.parametrize("outage", ["server killed", "task paused"])
def test_life_cycles(rig, source, target, tally, outage):
    """Generated lives of collections with 1, 2 and 16 shards across an outage."""
    world = World(rig, tally)
    try:
        lifecycle.run(world, "short", count=1, only=outage, steps=2)
    finally:
        world.close()


@pytest.mark.skipif(not scenarios.can_mount(), reason="only root can make a small disk")
def test_disk_full(rig, source, target, tally):
    scenarios.disk_full(rig, tally, seconds=3)


def test_clock_jumps(rig, source, target, tally):
    scenarios.clock_jumps(rig, tally, jumps=(3600, -3600, 0), seconds=2)


@pytest.mark.only_queue("kafka")  # test_faults_pulsar.py has the same of Pulsar
def test_retention_overtakes_a_paused_task(rig, source, target, tally):
    scenarios.retention(rig, tally)


def test_hostile_requests(rig, source, tally):
    api.run(rig, "short", 150, tally, examples=10)
    assert tally.counts["api requests mutated"] == 150 and tally.counts["api requests described"] > 50


def test_peers_that_answer_garbage(rig, source, tally):
    garbage.run(rig, "short", 9, tally)
    assert tally.counts["garbage talks"] == 9


def test_fuzzed_messages(rig, source, tally):
    fuzz_messages.run(rig, "short", 2, tally)
    assert tally.counts["fuzzed messages"] == 120 and tally.counts["bystander rows"] >= 30


def test_damaged_records(rig, source, tally):
    damage.run(rig, "short", 1, tally, kinds=("sqlite", "etcd"))
    assert tally.counts["damaged records"] == 2 * damage.COPIES
