"""Metrics of a live replication: every name and label of the reference, and values that are true."""

from __future__ import annotations

import re
import time

from pymilvus import Partition

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig.part import http_get
from rig.server import ApiError

# name -> (type, labels), as dashboards made for the reference use them
REFERENCE = {
    "milvus_cdc_task_num": ("gauge", {"task_state"}),
    "milvus_cdc_task_state": ("gauge", {"task_id"}),
    "milvus_cdc_request_total": ("counter", {"request_type", "request_status"}),
    "milvus_cdc_request_latency": ("histogram", {"request_type"}),
    "milvus_cdc_replicate_tt": ("gauge", {"task_id", "vchannel_name", "op_type"}),
    "milvus_cdc_replicate_data_size": ("counter", {"task_id", "vchannel_name", "op_type", "msg_type"}),
    "milvus_cdc_replicate_data_cnt": ("counter", {"task_id", "collection_id", "collection_name", "op_type", "api_type"}),
    "milvus_cdc_api_execute_total": ("counter", {"task_id", "api_type"}),
    "milvus_cdc_center_tt": ("gauge", {"channel_name"}),
}
LINE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """One scrape: series by name, and the types that the exposition declares."""

    def __init__(self, text: str):
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        self.series: dict[str, list[tuple[dict, float]]] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = LINE.match(line).groups()
                self.series.setdefault(name, []).append((dict(LABEL.findall(labels or "")), float(value)))

    def values(self, name: str, **labels) -> list[float]:
        """What a query name{labels} finds."""
        return [v for have, v in self.series.get(name, []) if have.items() >= labels.items()]

    def value(self, name: str, **labels) -> float:
        return sum(self.values(name, **labels))


def test_live_replication(cdc, source, target):
    name = fresh()
    task = cdc.create(target, {"default": [{"name": name}]})
    collection = simple("source", name)
    Partition(collection, "p1")
    fill(collection, range(200), partition_name="p1")
    collection.delete("id in [1, 2, 3]")
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    wait_until(lambda: Scrape(cdc.metrics()).value("milvus_cdc_api_execute_total", api_type="LoadCollection") == 1,
               10, "the load is counted")
    now = Scrape(cdc.metrics())

    for metric, (kind, labels) in REFERENCE.items():
        shown = metric + "_count" if kind == "histogram" else metric
        assert now.types.get(metric) == kind, metric
        assert {frozenset(have) for have, _ in now.series[shown]} == {frozenset(labels)}, metric
    assert {have["task_state"]: value for have, value in now.series["milvus_cdc_task_num"]} == {
        "Initial": 0, "Running": 1, "Paused": 0}
    assert now.value("milvus_cdc_task_state", task_id=task) == 1
    for op in ("read", "write"):
        rows = dict(task_id=task, collection_name=name, op_type=op)
        assert now.value("milvus_cdc_replicate_data_cnt", api_type="insert", **rows) == 200
        assert now.value("milvus_cdc_replicate_data_cnt", api_type="delete", **rows) == 3
        for kind in ("Insert", "Delete", "CreateIndex", "LoadCollection"):
            assert now.value("milvus_cdc_replicate_data_size", task_id=task, op_type=op, msg_type=kind) > 10, kind
        # a time in ms, as the dashboard shows it as a date
        assert abs(max(now.values("milvus_cdc_replicate_tt", task_id=task, op_type=op)) / 1000 - time.time()) < 60
    for api in ("CreateCollection", "CreatePartition", "CreateIndex", "LoadCollection", "ReplicateMessage"):
        assert now.value("milvus_cdc_api_execute_total", task_id=task, api_type=api) >= 1, api
    assert abs(max(now.values("milvus_cdc_center_tt")) / 1000 - time.time()) < 60
    assert now.value("milvus_cdc_lag_milliseconds", task_id=task) < 30_000

    # channels that stand idle are read on
    before = min(now.values("milvus_cdc_replicate_tt", task_id=task, op_type="write"))
    wait_until(lambda: all(v > before for v in Scrape(cdc.metrics()).values(
        "milvus_cdc_replicate_tt", task_id=task, vchannel_name=channel(now, source, task))), 20, "ticks move it")

    # the dashboard's queries: each of its metrics has series to sum, rate and select by
    for query in ("milvus_cdc_request_latency_bucket", "milvus_cdc_request_latency_sum",
                  "milvus_cdc_request_latency_count"):
        assert now.values(query, request_type="create"), query
    assert now.values("milvus_cdc_request_latency_bucket", request_type="create", le="+Inf")
    assert now.values("milvus_cdc_request_total", request_type="create", request_status="success") == [1]

    collection.drop()
    wait_until(lambda: Scrape(cdc.metrics()).value(
        "milvus_cdc_api_execute_total", task_id=task, api_type="DropCollection") == 1, 30, "the drop is counted")


def channel(scrape: Scrape, source, task: str) -> str:
    """The task's DML channel."""
    names = {have["vchannel_name"] for have, _ in scrape.series["milvus_cdc_replicate_tt"] if have["task_id"] == task}
    return (names - {source.replicate_channel}).pop()


def test_requests_are_counted(cdc):
    """Failures too, and a type that a client made up is no label."""
    for _ in range(3):
        try:
            cdc.ask("get", {"task_id": "nobody"})
        except ApiError:
            pass
    cdc.post("made-up-by-a-client")
    now = Scrape(cdc.metrics())
    assert now.values("milvus_cdc_request_total", request_type="get", request_status="fail") == [3]
    assert now.values("milvus_cdc_request_total", request_type="get", request_status="total") == [3]
    assert now.values("milvus_cdc_request_total", request_type="unknown", request_status="fail") == [1]
    assert "made-up" not in cdc.metrics()
    assert not now.values("milvus_cdc_request_latency_count", request_type="get")


def test_a_deleted_task_leaves_no_series(cdc, target):
    """Two tasks: what is of the one is not counted for the other, and goes with it."""
    names = [fresh(), fresh()]
    tasks = [cdc.create(target, {"default": [{"name": name}]}) for name in names]
    collections = [simple("source", name) for name in names]
    fill(collections[0], range(30))
    fill(collections[1], range(70))
    for collection in collections:
        wait_equal(collection, wait_collection(collection.name, "target"))
    now = Scrape(cdc.metrics())
    for task, rows in zip(tasks, (30, 70)):
        for op in ("read", "write"):
            assert now.value("milvus_cdc_replicate_data_cnt", task_id=task, op_type=op, api_type="insert") == rows
    cdc.delete(tasks[0])
    text = cdc.metrics()
    assert tasks[0] not in text and tasks[1] in text


def test_process_metrics(cdc):
    text = http_get(f"{cdc.uri}/metrics_default", timeout=10).decode()
    now = Scrape(text)
    assert now.value("process_resident_memory_bytes") > 1 << 20
    assert abs(now.value("process_start_time_seconds") - time.time()) < 600
    assert {"process_cpu_seconds_total", "process_open_fds", "process_max_fds",
            "process_virtual_memory_bytes"} <= now.types.keys()
