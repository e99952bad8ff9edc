"""What a Milvus 2.3.5 on Pulsar writes, and what a broker answers a reader. The Pulsar source rests on these facts."""

import pulsar
import pytest
from pymilvus.grpc_gen import common_pb2, msg_pb2

from helpers import fill, simple
from queues import channels_of

pytestmark = pytest.mark.only_queue("pulsar")

NAMESPACE = "persistent://public/default"
READ_MS = 10000


@pytest.fixture
def client(mq):
    with_client = pulsar.Client(mq.part.url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    yield with_client
    with_client.close()


@pytest.fixture
def topic(client, mq, request):
    """The name of a topic with the messages 0 to 9."""
    name = f"{NAMESPACE}/{request.node.name.split('[')[0]}"
    producer = client.create_producer(name, batching_enabled=False)
    for number in range(10):
        producer.send(str(number).encode())
    producer.close()
    return name


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(data: bytes) -> list:
    """The fields of a protobuf message: numbers and values (whole numbers and bytes)."""
    found, at = [], 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        else:
            assert tag & 7 == 0, data.hex()
        found.append((tag >> 3, value))
    return found


def stored_starts(rig, source, name: str) -> dict[str, bytes]:
    """{pchannel: message id} of a collection in the source's etcd: field 11, {1 channel, 2 id}."""
    below = f"{source.name}/meta/root-coord/database/collection-info/"
    for value in rig.part("etcd").prefix(below).values():
        if name.encode() in value:
            pairs = [dict(fields(v)) for number, v in fields(value) if number == 11]
            return {pair[1].decode(): pair[2] for pair in pairs}
    return {}


def messages(client, channel: str, start=pulsar.MessageId.earliest):
    reader = client.create_reader(f"{NAMESPACE}/{channel}", start, start_message_id_inclusive=True)
    while True:
        yield reader.read_next(READ_MS)


def kind(message) -> int:
    """The type of a message; every kind has its base as its first field, as a tick has."""
    return msg_pb2.TimeTickMsg.FromString(message.data()).base.msg_type


def test_start_position_is_the_id_of_the_create_message(rig, source, client):
    """All four fields, partition and batch index 0, though a broker's own frames say partition -1."""
    collection = simple(source.name, load=False, shards_num=2)
    starts = stored_starts(rig, source, collection.name)
    assert len(starts) == 2
    for channel, stored in starts.items():
        (_, ledger), (_, entry), partition, batch = fields(stored)
        assert (partition, batch) == ((3, 0), (4, 0))
        message = next(messages(client, channel, pulsar.MessageId(-1, ledger, entry, 0)))
        assert (message.message_id().ledger_id(), message.message_id().entry_id()) == (ledger, entry)
        assert kind(message) == common_pb2.CreateCollection
        assert collection.name.encode() in message.data()


def test_messages_have_no_properties_but_a_trace(source, client):
    """So type and channel of a message are only in its bytes. A tick has none at all."""
    collection = simple(source.name, load=False, shards_num=1)
    fill(collection, range(3))
    collection.delete("id in [1]")
    wanted = {common_pb2.TimeTick, common_pb2.Insert, common_pb2.Delete}
    seen: dict = {}
    for message in messages(client, channels_of(source, collection)[0]):
        seen.setdefault(kind(message), set()).update(message.properties())
        if wanted <= seen.keys():
            break
    assert seen[common_pb2.TimeTick] == set()
    assert seen[common_pb2.Insert] <= {"traceparent"} and seen[common_pb2.Delete] <= {"traceparent"}


def test_reader_starts_at_or_after_an_id(client, topic):
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    third = [reader.read_next(READ_MS) for _ in range(4)][3].message_id()
    for inclusive, first in ((True, b"3"), (False, b"4")):
        reader = client.create_reader(topic, third, start_message_id_inclusive=inclusive)
        assert reader.read_next(READ_MS).data() == first


def test_seek_delivers_the_named_message_first(client, topic):
    reader = client.create_reader(topic, pulsar.MessageId.earliest, start_message_id_inclusive=True)
    ids = [reader.read_next(READ_MS).message_id() for _ in range(10)]
    reader.seek(ids[5])
    assert [reader.read_next(READ_MS).data() for _ in range(5)] == [b"5", b"6", b"7", b"8", b"9"]


def test_latest_is_what_comes_next(client, topic):
    reader = client.create_reader(topic, pulsar.MessageId.latest)
    with pytest.raises(pulsar.Timeout):
        reader.read_next(300)
    producer = client.create_producer(topic)
    producer.send(b"new")
    assert reader.read_next(READ_MS).data() == b"new"


def test_reader_goes_on_after_an_unload(client, mq, topic):
    """The new owner starts a new ledger; ids go on rising."""
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    last = [reader.read_next(READ_MS) for _ in range(10)][9].message_id()
    mq.unload(topic.rpartition("/")[2])
    producer = client.create_producer(topic)
    producer.send(b"after")
    message = reader.read_next(READ_MS)
    assert message.data() == b"after"
    assert message.message_id().ledger_id() > last.ledger_id() and message.message_id().entry_id() == 0


def test_trimmed_ledger_is_skipped_silently(client, mq, topic):
    """A broker starts a reader at the first message that is left, without a word: whoever needs the messages
    before it has to notice by himself."""
    name = topic.rpartition("/")[2]
    first = client.create_reader(topic, pulsar.MessageId.earliest).read_next(READ_MS).message_id()
    mq.forget(name)
    producer = client.create_producer(topic)
    producer.send(b"left")
    reader = client.create_reader(topic, first, start_message_id_inclusive=True)
    assert reader.read_next(READ_MS).data() == b"left"
