"""What a target's consumers really got: its DML topics, read from the broker after a run.

The checking proxy sees calls; a call may land in part, or after its client has died. The topics hold
what landed, in the order that counts. Checked: no row at or below a tick that stands before it, and no
message id twice between two ticks. (A tick that repeats an older one is a fence; consumers ignore it.)
"""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition
from pymilvus.grpc_gen import common_pb2

from .check import decode, time_of
from .tally import Tally

ROWS = (common_pb2.Insert, common_pb2.Delete)


def ends(broker, prefix: str) -> dict[str, int]:
    """Where the topics of a target end now; an audit may begin there."""
    return {topic: broker.ends(topic)[1] for topic in broker.topics() if topic.startswith(f"{prefix}-rootcoord-dml")}


def walk(name: str, raws, tally: Tally) -> None:
    """Checks one topic's messages, in their order."""
    floor, ids = 0, set()
    for offset, raw in raws:
        message = decode(raw)
        if message.type == common_pb2.TimeTick:
            tally.add("landed ticks")
            if message.stamps[0] > floor:
                floor, ids = message.stamps[0], set()
            continue
        if message.type not in ROWS:
            continue
        tally.add("landed messages")
        if message.stamps and min(message.stamps) <= floor:
            tally.find(f"{name}@{offset}: a row of {message.collection} at {time_of(min(message.stamps))}, "
                       f"tick {time_of(floor)} stands before it")
        if message.id in ids:
            tally.add("landed repeats")  # what the target drops; harmful only if it is not the same message
        ids.add(message.id)


def audit(broker, prefix: str, tally: Tally, since: dict[str, int] | None = None) -> None:
    """Reads every DML topic of the target whose name and channel prefix is prefix."""
    last = ends(broker, prefix)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "audit", "enable.auto.commit": False,
                         "fetch.message.max.bytes": 16 << 20})
    try:
        for topic, end in sorted(last.items()):
            begin = max((since or {}).get(topic, 0), broker.ends(topic)[0])
            if begin < end:
                walk(topic, read(consumer, topic, begin, end), tally)
    finally:
        consumer.close()


def read(consumer: Consumer, topic: str, begin: int, end: int):
    """(offset, payload) of begin .. end - 1."""
    consumer.assign([TopicPartition(topic, 0, begin)])
    at = begin
    while at < end:
        message = consumer.poll(20)
        if message is None:
            raise TimeoutError(f"{topic}: nothing after offset {at} of {end}")
        if message.error():
            raise OSError(f"{topic}: {message.error()}")
        at = message.offset() + 1
        if message.value():
            yield message.offset(), message.value()
