"""The checks of test/chaos can fail: each rule is broken on purpose, by hand and through the proxy."""

from __future__ import annotations

import threading
import time
from concurrent import futures

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, msg_pb2, schema_pb2

from chaos.audit import walk
from chaos.check import LOST, OK, REFUSED, Checker
from chaos.tally import Tally
from chaos.witness import new_witness
from rig import Rig, wait_until

CHANNEL = "t-rootcoord-dml_0"
T0 = int(time.time() * 1000 - 60000) << 18


def tick(at: int) -> bytes:
    return msg_pb2.TimeTickMsg(base=common_pb2.MsgBase(msg_type=common_pb2.TimeTick, timestamp=T0 + at)).SerializeToString()


def row(key, at: int, number: int, kind=common_pb2.Insert, shard: str = CHANNEL + "_7v0", name: str = "c") -> bytes:
    """An insert or a delete of one key."""
    base = common_pb2.MsgBase(msg_type=kind, msgID=number, timestamp=T0 + at)
    if kind == common_pb2.Delete:
        keys = schema_pb2.IDs(int_id=schema_pb2.LongArray(data=[key]))
        return msg_pb2.DeleteRequest(base=base, shardName=shard, db_name="default", collection_name=name, num_rows=1,
                                     timestamps=[T0 + at], primary_keys=keys).SerializeToString()
    data = schema_pb2.FieldData(field_id=100, field_name="id", type=schema_pb2.Int64)
    data.scalars.long_data.data.append(key)
    return msg_pb2.InsertRequest(base=base, shardName=shard, db_name="default", collection_name=name, num_rows=1,
                                 timestamps=[T0 + at], fields_data=[data]).SerializeToString()


def call(*messages: bytes, channel: str = CHANNEL) -> milvus_pb2.ReplicateMessageRequest:
    return milvus_pb2.ReplicateMessageRequest(channel_name=channel, Msgs=messages)


DELETE = common_pb2.Delete
# what is sent, as (messages, fate); the rule that is broken by the last of them, or "" for none
CASES = {
    "good": ([((row(1, 1, 1), row(2, 2, 2), tick(5)), OK), ((row(1, 6, 3, DELETE), row(1, 6, 4), tick(9)), OK)], ""),
    "fence": ([((tick(5),), OK), ((tick(5),), OK)], ""),
    "tick back": ([((tick(5),), OK), ((tick(4),), OK)], "ticks"),
    "tick twice with rows": ([((tick(5),), OK), ((row(1, 6, 1), tick(5)), OK)], "ticks"),
    "row below a tick": ([((tick(5),), OK), ((row(1, 5, 1), tick(9)), OK)], "rows"),
    "row below a tick of its call": ([((tick(5), row(1, 4, 1)), OK)], "rows"),
    "refused and again": ([((row(1, 3, 1), tick(5)), REFUSED), ((row(1, 3, 1), tick(5)), OK)], ""),
    "refused, and others below": ([((row(1, 8, 1), row(2, 8, 2)), REFUSED), ((row(1, 7, 1), row(2, 7, 2)), OK)], ""),
    "lost and again": ([((row(1, 3, 1), tick(5)), LOST), ((row(1, 3, 1), tick(5)), OK)], ""),
    "lost and replayed above": ([((row(1, 3, 1), tick(5)), LOST),
                                 ((row(1, 6, 8, DELETE), row(1, 6, 9), tick(6)), OK)], ""),
    "lost and new rows below": ([((row(1, 3, 1), tick(5)), LOST), ((row(2, 4, 2), tick(6)), OK)], "rows"),
    "key goes back": ([((row(1, 8, 1), row(1, 7, 2), tick(9)), OK)], "order"),
    "delete below an insert": ([((row(1, 8, 1),), OK), ((row(1, 7, 2, DELETE), tick(9)), OK)], "order"),
    "delete below, inserted again": ([((row(1, 7, 1),), OK), ((row(1, 6, 2, DELETE), row(1, 8, 3), tick(9)), OK)], ""),
    "id twice": ([((row(1, 6, 4), row(2, 7, 4), tick(9)), OK)], "ids"),
    "id twice with a tick between": ([((row(1, 6, 4), tick(6), row(2, 7, 4), tick(9)), OK)], ""),
    "foreign shard": ([((row(1, 6, 4, shard="t-rootcoord-dml_1_7v0"), tick(9)), OK)], "shards"),
    "ahead": ([((row(1, 86400_000 << 18, 4),), OK)], "clock"),  # of now, not of when the test was loaded
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case):
    calls, rule = CASES[case]
    checker = Checker()
    for messages, fate in calls[:-1]:
        checker.answered(checker.sent(CHANNEL, call(*messages)), fate)
    assert not checker.violations, list(map(str, checker.violations))
    messages, fate = calls[-1]
    checker.answered(checker.sent(CHANNEL, call(*messages)), fate)
    assert {v.rule for v in checker.violations} == ({rule} if rule else set()), list(map(str, checker.violations))


def test_one_call_in_flight_a_channel():
    checker = Checker()
    checker.sent(CHANNEL, call(row(1, 1, 1)))
    checker.sent("t-rootcoord-dml_1", call(row(1, 1, 1, shard="t-rootcoord-dml_1_7v0")))
    assert not checker.violations
    checker.sent(CHANNEL, call(row(2, 2, 2)))
    assert [v.rule for v in checker.violations] == ["one call"]


def test_a_lost_call_that_landed_counts():
    checker = Checker()
    lost = checker.sent(CHANNEL, call(row(1, 3, 1), tick(5)))
    checker.answered(lost, LOST)
    checker.answered(lost, OK)
    checker.sent(CHANNEL, call(row(1, 3, 1), tick(6)))
    assert [v.rule for v in checker.violations] == ["rows", "order"][:len(checker.violations)]
    assert checker.violations


def test_a_fence_repeats_what_the_sender_knows():
    checker = Checker()
    checker.answered(checker.sent(CHANNEL, call(tick(5))), OK)
    checker.answered(checker.sent(CHANNEL, call(row(1, 7, 1), tick(8))), OK)
    checker.answered(checker.sent(CHANNEL, call(tick(5))), OK)
    assert not checker.violations
    checker.sent(CHANNEL, call(tick(6)))
    assert [v.rule for v in checker.violations] == ["ticks"]


def test_fences():
    checker = Checker()
    flying = checker.sent(CHANNEL, call(row(1, 1, 1)))
    checker.fence(["default/c"], "pause")
    assert [v.rule for v in checker.violations] == ["fences"]
    checker.answered(flying, OK)
    checker.answered(checker.sent(CHANNEL, call(row(1, 2, 2, name="other"), tick(5))), OK)
    assert len(checker.violations) == 1
    checker.answered(checker.sent(CHANNEL, call(row(1, 6, 3))), OK)
    checker.operation("DropCollection", "default/c")
    assert [v.rule for v in checker.violations] == ["fences"] * 3
    checker.unfence(["default/c"])
    checker.answered(checker.sent(CHANNEL, call(row(1, 7, 4))), OK)
    assert len(checker.violations) == 3
    assert row(1, 6, 3)[:20].hex() in str(checker.violations[1])


def test_audit_of_what_landed():
    tally = Tally("audit")
    walk("good", enumerate([row(1, 1, 1), tick(2), row(1, 3, 2), tick(2), row(2, 4, 3), tick(9)]), tally)
    assert not tally.findings
    walk("bad", enumerate([tick(5), row(1, 4, 1)]), tally)
    assert len(tally.findings) == 1 and "bad@1" in tally.findings[0]


class Target(milvus_pb2_grpc.MilvusServiceServicer):
    """Answers what it is told to."""

    def __init__(self):
        self.begun, self.got, self.status = [], [], common_pb2.Status()
        self.gate = threading.Event()
        self.gate.set()

    def ReplicateMessage(self, request, context):
        self.begun.append(request.channel_name)
        self.gate.wait(20)
        self.got.append((request, dict(context.invocation_metadata())))
        return milvus_pb2.ReplicateMessageResponse(status=self.status, position="AAA=")

    def DropCollection(self, request, context):
        self.got.append((request, dict(context.invocation_metadata())))
        return common_pb2.Status()


@pytest.fixture(scope="module")
def fake():
    """A fake target, a witness before it, and a stub that talks to the witness."""
    server, target = grpc.server(futures.ThreadPoolExecutor(8)), Target()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(target, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Rig() as rig:
        witness = new_witness(rig, to=f"127.0.0.1:{port}")
        with grpc.insecure_channel(witness.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield target, witness, milvus_pb2_grpc.MilvusServiceStub(channel)
    server.stop(0)


def test_witness_passes_on_and_names_a_violation(fake):
    target, witness, stub = fake
    answer = stub.ReplicateMessage(call(row(1, 1, 1), tick(5)), metadata=[("dbname", "x")], timeout=10)
    assert answer.position == "AAA=" and target.got[-1][1]["dbname"] == "x" and not witness.violations()
    stub.ReplicateMessage(call(row(2, 3, 2), tick(6)), timeout=10)
    assert len(witness.violations()) == 1 and row(2, 3, 2)[:20].hex() in witness.violations()[0]


def test_witness_fences_operations(fake):
    _target, witness, stub = fake
    witness.fence(["default/gone"], "the pause was answered")
    before = len(witness.violations())
    stub.DropCollection(milvus_pb2.DropCollectionRequest(collection_name="other"), timeout=10)
    assert len(witness.violations()) == before
    stub.DropCollection(milvus_pb2.DropCollectionRequest(collection_name="gone"), timeout=10)
    assert "DropCollection" in witness.violations()[-1] and len(witness.violations()) == before + 1


def test_witness_answers_in_the_targets_place(fake):
    target, witness, stub = fake
    channel = "t-rootcoord-dml_3"
    sent = call(row(1, 1, 1, shard=channel + "_7v0"), tick(5), channel=channel)
    got = len(target.got)
    witness.fault("ReplicateMessage", status=8, reason="quota")
    assert stub.ReplicateMessage(sent, timeout=10).status.code == 8
    witness.fault("ReplicateMessage", code="UNAVAILABLE")
    with pytest.raises(grpc.RpcError) as error:
        stub.ReplicateMessage(sent, timeout=10)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE and len(target.got) == got
    before = len(witness.violations())
    witness.fault("ReplicateMessage", code="UNAVAILABLE", when="after")
    with pytest.raises(grpc.RpcError):
        stub.ReplicateMessage(sent, timeout=10)
    assert len(target.got) == got + 1 and len(witness.violations()) == before
    stub.ReplicateMessage(sent, timeout=10)  # it had landed: sending it again doubles
    assert len(witness.violations()) > before
    assert witness.counts()["injected"] == 3


def test_witness_keeps_a_call_in_doubt_until_it_is_known(fake):
    target, witness, stub = fake
    channel = "t-rootcoord-dml_4"
    target.gate.clear()
    doubtful = stub.ReplicateMessage.future(call(row(1, 1, 1, shard=channel + "_7v0"), tick(5), channel=channel), timeout=30)
    wait_until(lambda: channel in target.begun, 10, "the target has begun with it")
    doubtful.cancel()
    before = len(witness.violations())
    got = len(target.got)
    target.gate.set()
    wait_until(lambda: len(target.got) > got, 10, "it lands all the same")
    stub.ReplicateMessage(call(row(2, 2, 2, shard=channel + "_7v0"), tick(7), channel=channel), timeout=10)
    assert any("rows" in text for text in witness.violations()[before:])
