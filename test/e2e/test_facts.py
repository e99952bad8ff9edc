"""What a real target does with replicated messages. The sink's design rests on these facts.

A test that fails here on another Milvus version means that the design has to be looked at, not that
the server is broken.
"""

import pytest
from confluent_kafka.admin import NewTopic
from pymilvus.grpc_gen import common_pb2

from helpers import wait_until
from replicate import Replica, offset, refused, replicated, send, stamp, tick


@pytest.fixture(scope="module")
def target(rig):
    """A target of its own: what others left on a channel that nobody ticks keeps flushes and loads waiting."""
    milvus = rig.milvus("facts", target=True)
    milvus.connect()
    yield milvus
    rig.remove(milvus)


@pytest.fixture
def replica(target):
    """A maker of loaded collections on the target, dropped at the end."""
    made = []

    def make(load: bool = True, **options) -> Replica:
        made.append(Replica(target, **options))
        return made[-1].load() if load else made[-1]

    yield make
    for item in made:
        item.drop()


def positive(answer):
    """The answer, unless it was refused."""
    return None if refused(answer.status) else answer


def test_own_replicate_channel_answers_position_without_messages(rig, target):
    """Only when the topic exists, and a target that never was a source has none."""
    kafka = rig.part("kafka")
    if target.replicate_channel not in kafka.topics():
        assert "Unknown partition" in refused(send(target, target.replicate_channel).status)
        admin = kafka.admin()  # held: its requests end with it
        admin.create_topics([NewTopic(target.replicate_channel, 1, 1)])[target.replicate_channel].result(10)
    answer = wait_until(lambda: positive(send(target, target.replicate_channel)), 10, "the topic is known")
    assert offset(answer.position) == max(0, kafka.ends(target.replicate_channel)[1] - 1)


def test_empty_call_is_refused_elsewhere(replica):
    item = replica(load=False)
    assert "empty msgs" in refused(send(item.target, item.channel).status)
    assert refused(send(item.target, "", tick(item.now())).status)


def test_tt_enabled_milvus_refuses_replication(source):
    assert refused(send(source, "source-rootcoord-dml_0", tick(stamp(source))).status)


def test_position_is_offset_of_last_message(replica, rig):
    item = replica(load=False)
    first = offset(item.tick())
    for number in (1, 2, 5):
        position = offset(item.send(*(tick(item.now()) for _ in range(number))))
        assert position == first + number
        first = position
    assert rig.part("kafka").ends(item.channel)[1] == first + 1


def test_created_timestamp_is_what_was_given(replica, target):
    created = stamp(target, -3600) + 5
    described = replica(load=False, created=created).describe()
    assert described.created_timestamp == created
    assert described.created_utc_timestamp == created >> 18


def test_rows_are_seen_after_tick(replica):
    item = replica()
    at = item.now()
    item.send(item.insert({1: 10, 2: 20}, at), tick(at))
    assert item.seen() == ({1: 10, 2: 20}, 2)


def test_equal_message_id_in_pack_is_dropped(replica):
    item = replica()
    at = item.now()
    item.send(item.insert({1: 10}, at, message_id=77), item.insert({2: 20}, at + 1, message_id=77),
              item.insert({3: 30}, at + 2, message_id=78), tick(at + 3))
    assert item.seen() == ({1: 10, 3: 30}, 2)


def test_equal_message_id_of_delete_and_insert_is_dropped(replica):
    """So a delete made by copying an insert's base would swallow that insert."""
    item = replica()
    at = item.now()
    item.send(item.delete([1], at, message_id=79), item.insert({1: 10}, at, message_id=79), tick(at + 1))
    assert item.seen() == ({}, 0)


def test_equal_message_id_in_two_packs_is_kept(replica):
    item = replica()
    at = item.now()
    item.send(item.insert({1: 10}, at, message_id=80), tick(at))
    item.send(item.insert({2: 20}, at + 1, message_id=80), tick(at + 1))
    assert item.seen() == ({1: 10, 2: 20}, 2)


@pytest.mark.parametrize("delete_first", [True, False])
def test_delete_and_insert_of_equal_time_leave_the_insert(replica, delete_first):
    item = replica()
    at = item.now()
    pair = [item.delete([1], at), item.insert({1: 10}, at)]
    item.send(*(pair if delete_first else pair[::-1]), tick(at))
    assert item.seen() == ({1: 10}, 1)
    item.reload()
    assert item.seen() == ({1: 10}, 1)


@pytest.mark.parametrize("varchar_pk", [False, True])
def test_replay_at_higher_stamp_replaces(replica, varchar_pk):
    item = replica(varchar_pk=varchar_pk)
    keys = ["a", "b"] if varchar_pk else [1, 2]
    at = item.now()
    item.send(item.insert({keys[0]: 10, keys[1]: 20}, at), tick(at))
    assert item.seen() == ({keys[0]: 10, keys[1]: 20}, 2)
    again = item.now()
    item.send(item.delete(keys, again), item.insert({keys[0]: 10, keys[1]: 21}, again), tick(again))
    assert item.seen() == ({keys[0]: 10, keys[1]: 21}, 2)
    item.reload()
    assert item.seen() == ({keys[0]: 10, keys[1]: 21}, 2)


@pytest.mark.parametrize("varchar_pk", [False, True])
def test_replay_replaces_flushed_copies(replica, varchar_pk):
    """What a lost call brought may be in flushed segments when its replay comes; and after a compaction, which
    brings deletes and rows together for good, the rows of the replay are still there."""
    item = replica(varchar_pk=varchar_pk)
    keys = ["a", "b", "c"] if varchar_pk else [1, 2, 3]
    at = item.now()
    item.send(item.insert(dict.fromkeys(keys, 10), at), tick(at))
    item.reload()
    again = item.now()
    new = {keys[0]: 20, keys[1]: 21}
    item.send(item.insert(new, again), item.delete(keys[:2], again), tick(again))
    want = ({**new, keys[2]: 10}, 3)
    assert item.seen() == want
    item.reload()
    if varchar_pk:
        item.compact()
    assert item.seen() == want


def test_old_ticks_are_ignored(replica):
    """What fences are made of: the last tick again, or the oldest there is."""
    item = replica()
    at = item.now()
    item.send(item.insert({1: 10}, at), tick(at))
    for old in (at, 1):
        item.send(tick(old))
    later = item.now()
    item.send(item.insert({2: 20}, later), tick(at), tick(1))
    item.send(tick(later))
    assert item.seen() == ({1: 10, 2: 20}, 2)


def test_rows_ahead_of_the_clock_are_refused(replica):
    """Rows a little ahead come when their time has; far ahead there is no segment for them."""
    item = replica()
    ahead = stamp(item.target, 10)
    assert "getSegmentID" in refused(send(item.target, item.channel, item.insert({1: 10}, ahead), end=ahead).status)
    soon = stamp(item.target, 1)
    assert not refused(send(item.target, item.channel, item.insert({2: 20}, soon), tick(soon), end=soon).status)
    wait_until(lambda: item.rows() == {2: 20}, 20, "the row is there")


def test_replay_at_same_stamp_doubles(replica):
    """Why a replay needs stamps of its own."""
    item = replica()
    at = item.now()
    item.send(item.insert({1: 10}, at), tick(at))
    assert item.seen() == ({1: 10}, 1)
    item.send(item.delete([1], at), item.insert({1: 10}, at), tick(item.now()))
    assert item.seen()[1] == 2


def test_load_waits_for_ticks(replica):
    item = replica(load=False)
    item.start_load()
    with pytest.raises(TimeoutError):
        wait_until(lambda: item.progress() == 100, 8, "loaded without ticks", pause=0.2)
    wait_until(item.loaded, 30, "loaded with ticks", pause=0.2)


def test_strong_query_waits_for_ticks(replica):
    item = replica()
    with pytest.raises(Exception, match="(?i)deadline|timeout|timed out"):
        item.collection.query("id >= 0", consistency_level="Strong", timeout=3)
    with item.ticking():
        assert item.collection.query("id >= 0", consistency_level="Strong", timeout=10) == []


def test_undecodable_message_appends_nothing(replica):
    item = replica(load=False)
    before = offset(item.tick())
    assert refused(send(item.target, item.channel, b"\xff\xff\xff").status)
    assert refused(send(item.target, item.channel, replicated(common_pb2.Undefined).SerializeToString()).status)
    assert offset(item.tick()) == before + 1
