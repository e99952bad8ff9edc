"""Fixtures: the rig of a test run, its two Milvus servers, and the server under test."""

from __future__ import annotations

import contextlib
import os
import re

import grpc
import pytest
from pymilvus import MilvusException, db, utility

from queues import queue_of
from replicate import tick_all
from rig import Rig, together

QUEUES = ("kafka", "pulsar")
LANES = ("kafka-1", "kafka-2", "pulsar")

# What the tests of a file take with Kafka, to share them out among the lanes.
SECONDS = {"test_chaos": 360, "test_facts": 200, "test_kafka_target": 200, "test_replication": 180, "test_crash": 150,
           "test_secure": 150, "test_operations": 120, "test_stores": 120, "test_takeover": 100, "test_tasks": 100,
           "test_documents": 110}
USUAL_SECONDS = 40

# They leave channels on the target that nobody ticks, which keeps later loads waiting: last in their lane.
LAST = ("test_chaos", "test_crash", "test_doctor")


def pytest_addoption(parser):
    parser.addoption("--queue", default=os.environ.get("MILVUS_CDC_QUEUE"), choices=QUEUES,
                     help="the queue of the source in every test; without it Kafka, and both in those marked both_queues")
    parser.addoption("--lane", choices=LANES, help="only that share of the tests; tools/test runs all three side by side on a machine with processors to spare")
    parser.addoption("--rig", help="use the rig in this folder and leave it running; for one queue only")


def pytest_generate_tests(metafunc):
    """Tests of one queue stand together, so the peers change once."""
    if "queue" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--queue")
    both = metafunc.definition.get_closest_marker("both_queues")
    only = metafunc.definition.get_closest_marker("only_queue")
    names = [asked] if asked else QUEUES if both else QUEUES[:1]
    if only:
        names = [name for name in only.args if asked in (None, name)]
    metafunc.parametrize("queue", names, indirect=True, scope="session")


def pytest_collection_modifyitems(config, items):
    """What leaves a mess runs last; with --lane only the share of that one."""
    items.sort(key=lambda item: item.path.stem in LAST)
    lane = config.getoption("--lane")
    if not lane:
        return
    shares = share_out(items)
    config.hook.pytest_deselected(items=[item for name, share in shares.items() if name != lane for item in share])
    items[:] = shares[lane]


def share_out(items) -> dict:
    """All of Pulsar is one lane; the files with Kafka are two of about the same length."""
    files = {item.path.stem for item in items if not on_pulsar(item)}
    weights = {name: SECONDS.get(name, USUAL_SECONDS) for name in files}
    lane_of, loads = {}, {"kafka-1": 0, "kafka-2": 0}
    for name in sorted(files, key=lambda name: (-weights[name], name)):
        lane_of[name] = min(loads, key=loads.get)
        loads[lane_of[name]] += weights[name]
    shares = {lane: [] for lane in LANES}
    for item in items:
        shares["pulsar" if on_pulsar(item) else lane_of[item.path.stem]].append(item)
    return shares


def on_pulsar(item) -> bool:
    return hasattr(item, "callspec") and item.callspec.params.get("queue") == "pulsar"


@pytest.fixture(scope="session")
def queue(request) -> str:
    """What the source writes to: kafka or pulsar."""
    return request.param


@pytest.fixture(scope="session")
def rig(queue, request):
    """etcd, the queue, a source and a target Milvus; gone when this process is, however it ends.

    etcd and Kafka also have ports with TLS and users; the Milvus servers use the plain ones. The target is on
    Kafka always: what is known of it does not depend on the source's queue.
    """
    folder = request.config.getoption("--rig")
    with Rig(folder, owned=not folder) as rig:
        # the source's queue can also be reached by a proxy that breaks connections
        wire = rig.proxy("wire")
        options = {"kafka": {"secure": True}, queue: {}}
        options[queue] = options[queue] | ({"secure": True} if queue == "kafka" else {}) | {"through": wire.address}
        together(lambda: rig.etcd(tls="mutual"),
                 *(lambda n=name, o=more: getattr(rig, n)(**o) for name, more in options.items()))
        wire.target(rig.part(queue).through_address)
        rig.pair(mq=queue, target_mq="kafka", dml_channels=16)
        yield rig


@pytest.fixture(scope="session")
def source(rig):
    """The source Milvus; its pymilvus alias is its name, "source"."""
    rig.part("source").connect()
    return rig.part("source")


@pytest.fixture(scope="session")
def target(rig):
    """The target Milvus; its pymilvus alias is "target"."""
    rig.part("target").connect()
    return rig.part("target")


@pytest.fixture
def mq(source):
    """The source's queue, to write to and to look at by hand."""
    return queue_of(source)


@pytest.fixture
def new_cdc(rig, source, request):
    """A maker of servers: new_cdc(config={...}). Each has its own port, folder and embedded store.

    At the end each is stopped, and a sanitizer's report, or not ending by itself, fails the test.
    """
    made = []
    base = re.sub(r"\W+", "_", request.node.name)[:60]

    def make(config: dict | None = None, **options):
        name = f"cdc-{base}-{len(made)}"
        made.append(name)
        return rig.cdc(options.pop("source", source), name=name, config=config, **options)

    yield make
    problems = []
    for name in made:
        if name not in rig.parts:
            continue
        cdc = rig.part(name)
        request.node.add_report_section("teardown", f"log of {name}", cdc.log_tail(60))
        if not cdc.stop():
            problems.append(f"{name} did not end on SIGTERM within {cdc.stop_timeout:g} s")
        if cdc.findings():
            problems.append(f"sanitizer findings in {name}:\n{cdc.findings()}")
        rig.remove(cdc)
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def cdc(new_cdc):
    """The usual server under test."""
    return new_cdc()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """A file leaves nothing on the source for the next one's tests: each collection costs time. A target
    keeps what there is: a drop that no replication brings leaves it worse (test_facts.py, Replica.drop); but what the
    test's servers have not come to tick any more is ticked."""
    rig = getattr(item, "funcargs", {}).get("rig")
    yield
    if rig and nextitem and "new_cdc" in item.fixturenames and rig.part("target").alive():
        with contextlib.suppress(grpc.RpcError):
            tick_all(rig.part("target"))
    if rig and nextitem and nextitem.path != item.path and rig.part("source").alive():
        empty(rig.part("source"))


def empty(milvus) -> None:
    """Drops the collections and databases of a Milvus; what it refuses to drop stays."""
    for name in db.list_database(using=milvus.connect()):
        alias = milvus.connect(db=name)
        with contextlib.suppress(MilvusException):
            for collection in utility.list_collections(using=alias):
                utility.drop_collection(collection, using=alias, timeout=20)
            if name != "default":
                db.drop_database(name, using=milvus.connect())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its servers logged last."""
    report = (yield).get_result()
    rig = item.funcargs.get("rig") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and rig:
        for part in rig.parts.values():
            if part.kind == "cdc" and item.name[:20] and "cdc" in item.fixturenames:
                report.sections.append((f"log of {part.name}", part.log_tail(60)))
            elif not part.alive():
                report.sections.append((f"{part.name} is down; its log", part.log_tail(20)))
