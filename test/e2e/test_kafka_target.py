"""A Kafka topic as the target: ordinary consumers rebuild the source's collections from its records."""

import pytest
from pymilvus import Collection, db, utility

from helpers import all_types, fill, fresh, rows_of, simple, wait_collection, wait_equal, wait_until
from kafka_consumer import Envelopes, Rows, difference, make_topic
from rig.server import ApiError
from test_slow_target import insert as insert_texts
from test_slow_target import long_texts
from test_tasks import Load, serve

FORMATS = {"milvus": Envelopes, "debezium": Rows}
BUDGET_MB, TEXTS = 16, 600  # 36 MB


@pytest.fixture(scope="module")
def broker(rig):
    """A broker of its own, with credentials: it is restarted."""
    kafka = rig.kafka("topics", secure=True)
    yield kafka
    kafka.stop()
    rig.remove(kafka)


def everything(broker, topic: str, format: str = "", **more) -> dict:
    connect = {"address": broker.address, "topic": topic, **more}
    if format:
        connect["format"] = format
    return {"kafka_connect_param": connect, "db_collections": {"*": [{"name": "*"}]}}


def only(broker, topic: str, name: str, format: str, **more) -> dict:
    return everything(broker, topic, format, **more) | {"db_collections": {"default": [{"name": name}]}}


def wait_rebuilt(reader, collection: Collection, timeout: float = 40) -> None:
    last = "never compared"

    def probe() -> bool:
        nonlocal last
        last = difference(collection, reader.read().of(collection.name))
        return not last

    try:
        wait_until(probe, timeout, f"{collection.name} can be rebuilt", pause=0.3)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{last}") from None


@pytest.fixture
def reading(request, broker):
    """A maker of readers that are closed at the end: reading(topic, format)."""
    made = []

    def make(topic: str, format: str):
        made.append(FORMATS[format](broker, topic))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.mark.parametrize("format", FORMATS)
def test_everything(cdc, source, broker, reading, format):
    """Every type, both kinds of keys, partitions, deletes, upserts, databases, drop and re-creation."""
    topic = make_topic(broker, fresh("all"), partitions=3)
    task = cdc.ask("create", everything(broker, topic, format))["task_id"]
    reader = reading(topic, format)
    types = all_types("source", shards_num=2)
    fill(types, range(300))
    texts = all_types("source", varchar_pk=True, binary=True, dim=16)
    fill(texts, (f"k\u00e4y {i}" for i in range(100)))
    texts.delete('id in ["k\u00e4y 3", "k\u00e4y 5"]')
    parted = simple("source", shards_num=4)
    parted.create_partition("one")
    fill(parted, range(2000))
    fill(parted, range(5000, 5100), partition_name="one")
    parted.delete(f"id in {list(range(0, 600, 3))}")
    parted.upsert(list(rows_of(parted, range(500, 900), seed=1)))
    for collection in (types, texts, parted):
        wait_rebuilt(reader, collection)
    assert all(len(partitions) == 1 for partitions in reader.lanes.values())
    assert len(set().union(*reader.lanes.values())) > 1, "several partitions are used"
    # drop and re-creation
    old = reader.id_of(parted.name)
    parted.drop()
    again = simple("source", parted.name)
    fill(again, range(50), seed=3)
    wait_until(lambda: reader.read().id_of(again.name) != old, 30, "the new one arrives")
    wait_rebuilt(reader, again)
    wanted = ["create collection", "create partition", "create index", "load collection", "drop collection"]
    wait_until(lambda: set(wanted) <= set(reader.read().kinds()), 30, "all events are there")
    names = {types.name, texts.name, parted.name}
    assert reader.told("create collection", names) == 4
    # a database
    database = fresh("db")
    db.create_database(database, using="source")
    inside = simple(source.connect(f"source_{database}", db=database))
    fill(inside, range(20))
    wait_until(lambda: not difference(inside, reader.read().of(inside.name, database)), 30, "it is there")
    assert "create database" in reader.kinds()
    inside.drop()
    db.drop_database(database, using="source")
    wait_until(lambda: "drop database" in reader.read().kinds(), 30, "the database is dropped")
    # a clean stop repeats nothing, and creates are not told again
    assert cdc.stop()
    cdc.start()
    fill(again, range(100, 150))
    wait_rebuilt(reader, again)
    assert not reader.repeats
    assert reader.told("create collection", names | {inside.name}) == 5
    shown = cdc.get(task)["kafka_connect_param"]
    assert shown["topic"] == topic and shown.get("format", "") == format
    for name in (types.name, texts.name, again.name):
        utility.drop_collection(name, using="source")


@pytest.mark.parametrize("format", FORMATS)
def test_killed_and_broker_restarted(cdc, source, broker, reading, format):
    """Nothing is lost; what a SIGKILL repeats is marked, in order and has the identity of the first time."""
    name = fresh()
    topic = make_topic(broker, fresh("kill"), partitions=2)
    task = cdc.ask("create", only(broker, topic, name, format))["task_id"]
    reader = reading(topic, format)
    collection = simple("source", name, shards_num=2)
    load = Load(collection)
    wait_until(lambda: len(reader.read().of(name)) > 300, 30, "rows arrive")
    cdc.kill()
    cdc.start()
    goal = load.key + 300
    wait_until(lambda: load.key > goal, 30, "the load goes on")
    broker.kill()
    wait_until(lambda: "topic" in cdc.get(task)["detail"]["waits_for"], 30, "the task says what it waits for")
    goal = load.key + 300
    wait_until(lambda: load.key > goal, 30, "the load goes on")
    broker.start()
    load.stop()
    wait_rebuilt(reader, collection, 90)
    assert cdc.get(task)["state"] == "Running"
    assert all("cdc_repeat" in headers for _, headers in reader.repeats)
    assert reader.kinds().count("create collection") <= 2
    cdc.ask("delete", {"task_id": task})


def test_beside_a_milvus(cdc, source, target, broker, reading):
    """Two tasks of one source, one to a Milvus, one to a topic; one's pause does not stop the other."""
    name = fresh()
    topic = make_topic(broker, fresh("two"))
    selected = {"default": [{"name": name}]}
    cdc.create(target, selected)
    kafka = cdc.ask("create", only(broker, topic, name, "debezium"))["task_id"]
    collection = simple("source", name)
    fill(collection, range(100))
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    reader = reading(topic, "debezium")
    wait_rebuilt(reader, collection)
    cdc.pause_task(kafka)
    fill(collection, range(100, 200))
    wait_equal(collection, copy)
    cdc.resume_task(kafka)
    wait_rebuilt(reader, collection)
    assert not reader.repeats


def test_beside_a_milvus_that_takes_next_to_nothing(new_cdc, rig, source, target, broker, reading):
    """What waits for a slow target uses up the memory budget; the others' rows go on all the same."""
    server = new_cdc({"memoryBudget": BUDGET_MB})
    narrow = rig.proxy("narrow_beside", to=target.address)
    name, topic = fresh(), make_topic(broker, fresh("fast"), **{"max.message.bytes": "20000000"})
    milvus = server.create(target, {"default": [{"name": name}]},
                           milvus_connect_param={"uri": f"http://{narrow.address}"})
    server.ask("create", only(broker, topic, name, "milvus"))
    collection = long_texts(name)
    insert_texts(collection, range(10))
    copy = serve(collection)
    wait_equal(collection, copy)
    narrow.bandwidth(20_000)
    for first in range(10, TEXTS, 50):
        insert_texts(collection, range(first, min(first + 50, TEXTS)))
    wait_rebuilt(reading(topic, "milvus"), collection, 120)
    assert narrow.counts()["to_server"] < BUDGET_MB << 20, "the target was not slow"
    assert server.get(milvus)["state"] == "Running"
    narrow.heal()
    wait_equal(collection, copy, timeout=120)


def test_record_too_large(cdc, source, broker, reading):
    """A topic that refuses large records: only that collection stops, with the reason and what to do."""
    topic = make_topic(broker, fresh("small"), **{"max.message.bytes": "20000"})
    big, little = fresh("big"), fresh("little")
    task = cdc.ask("create", everything(broker, topic) | {
        "db_collections": {"default": [{"name": big}, {"name": little}]}})["task_id"]
    first, second = simple("source", big, dim=128), simple("source", little)
    fill(first, range(200))
    fill(second, range(10))
    reader = reading(topic, "milvus")
    wait_rebuilt(reader, second)
    wait_until(lambda: "max.message.bytes" in str(cdc.get(task)["detail"]), 30, "the reason is shown")
    assert cdc.get(task)["state"] == "Running"


def test_credentials_and_topics(cdc, source, broker, reading):
    """SASL is used; what is wrong is named at once."""
    name = fresh()
    topic = make_topic(broker, fresh("sasl"))
    secure = {"address": broker.listener("SASL_PLAINTEXT"), "enable_sasl": True,
              "sasl": {"username": broker.USER, "password": broker.PASSWORD, "mechanisms": "SCRAM-SHA-256",
                       "security_protocol": "SASL_PLAINTEXT"}}
    wrong = secure | {"sasl": secure["sasl"] | {"password": "wrong-password"}}
    with pytest.raises(ApiError, match="(?i)fail to connect the kafka.*authentication"):
        cdc.ask("create", only(broker, topic, name, "debezium", **wrong))
    with pytest.raises(ApiError, match="fail to connect the kafka.*acks"):
        cdc.ask("create", only(broker, topic, name, "debezium", settings={"acks": "0"}))
    with pytest.raises(ApiError, match="kafka format"):
        cdc.ask("create", only(broker, topic, name, "avro"))
    more = {"settings": {"compression.type": "zstd"}}
    task = cdc.ask("create", only(broker, topic, name, "debezium", **secure, **more))["task_id"]
    collection = simple("source", name)
    fill(collection, range(100))
    reader = reading(topic, "debezium")
    wait_rebuilt(reader, collection)
    shown = str(cdc.get(task))
    assert broker.PASSWORD not in shown and "zstd" not in shown and "compression.type" in shown
    assert broker.PASSWORD not in cdc.log_path.read_text()
