"""Alerts and dashboard against the real Prometheus; lag that is honest; readiness."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig.part import http_get
from rig.server import REPOSITORY
from synthetic import Synthetic

RULES = REPOSITORY / "configs/prometheus"
DASHBOARD = REPOSITORY / "configs/grafana/milvus-cdc.json"
NAME = re.compile(r"\bmilvus_cdc_\w+")


def tool(name: str) -> str:
    return shutil.which(name) or pytest.fail(f"{name} is not installed: run tools/install test")


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_rules():
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([tool("promtool"), *words], cwd=RULES, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text())
    tested = (RULES / "alerts_test.yml").read_text()
    runbook = (REPOSITORY / "docs/operations.md").read_text()
    assert alerts and not [a for a in alerts if a not in tested or f"`{a}`" not in runbook]


def test_names_exist():
    """What alerts and panels ask for is what the server shows."""
    shown = set(NAME.findall((REPOSITORY / "docs/metrics.md").read_text()))
    asked = set(NAME.findall((RULES / "alerts.yml").read_text())) | set(NAME.findall(" ".join(expressions())))
    assert asked and asked <= shown, asked - shown


@pytest.fixture
def prometheus(cdc, tmp_path):
    """A Prometheus that scrapes the server each second and knows the rules; query(expr) asks it."""
    conf = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES / "alerts.yml")],
            "scrape_configs": [{"job_name": "milvus-cdc", "metrics_path": "/cdc/metrics",
                                "static_configs": [{"targets": [cdc.address]}]}]}
    path, port = tmp_path / "prometheus.yml", cdc.port(5)
    path.write_text(json.dumps(conf))  # JSON is YAML
    process = subprocess.Popen(
        [tool("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, GOMAXPROCS="1"))

    def query(expr: str) -> list[dict]:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    try:
        wait_until(lambda: ready(port), 60, "Prometheus is ready")
        yield query
    finally:
        process.kill()
        process.wait()


def ready(port: int) -> bool:
    return b"Ready" in http_get(f"http://127.0.0.1:{port}/-/ready")


def test_scrape(prometheus, cdc, source, target, queue):
    """A real scrape: every panel's expression is understood, those of a running task have values."""
    week = queue == "kafka"  # Kafka keeps a week, Pulsar does not tell how long it keeps
    name = fresh()
    task = cdc.create(target, {"default": [{"name": name}]})
    collection = simple("source", name)
    fill(collection, range(50))
    wait_equal(collection, wait_collection(name, "target"))
    wait_until(lambda: prometheus('up{job="milvus-cdc"} == 1'), 30, "scraped")
    rows = f'sum(milvus_cdc_replicate_data_cnt{{op_type="write", task_id="{task}"}})'
    wait_until(lambda: prometheus(rows) and float(prometheus(rows)[0]["value"][1]) == 50, 30, "the rows are counted")
    for metric in ("lag_milliseconds", "catch_up_seconds", "rows_behind", "task_waits"):
        one = f'milvus_cdc_{metric}{{task_id="{task}"}}'
        wait_until(lambda: prometheus(one), 90, one)
    expires = f'milvus_cdc_source_log_expires_seconds{{task_id="{task}"}}'
    if week:
        wait_until(lambda: prometheus(expires), 90, expires)
        assert 6 * 86400 < float(prometheus(expires)[0]["value"][1]) <= 7 * 86400
    for expr in expressions():
        plain = expr.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$task", ".*")
        prometheus(plain)  # an error is an exception
    detail = cdc.get(task)["detail"]
    assert detail["rows_behind"] == 0 and detail["catch_up_s"] == 0
    expires = detail["source_log_expires_s"]
    assert 6 * 86400 < expires <= 7 * 86400 if week else expires is None


def test_a_still_source_is_no_lag(new_cdc, rig, target):
    """The source writes nothing more, not even ticks: there is nothing to be behind of. A pause is."""
    source = Synthetic(rig)
    name = fresh()
    cdc = new_cdc(config=source.config())
    collection = source.collection(name)
    task = cdc.create(target, {"default": [{"name": name}]})
    with source.ticking():
        collection.insert(range(10))
        wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 10, 60, "written")
    lag = lambda: cdc.get(task)["detail"]["lag_ms"]
    wait_until(lambda: lag() == 0, 30, "nothing is left")
    still = source._last >> 18
    wait_until(lambda: source.now() >> 18 > still + 3000, 10, "the source was still for a while")
    assert lag() == 0
    cdc.pause_task(task)
    wait_until(lambda: (cdc.get(task)["detail"]["lag_ms"] or 0) > 3000, 90, "a pause is a lag")


def test_ready(cdc):
    """Loaded and in order; what is missing is tested with a metastore that is away."""
    assert http_get(f"http://{cdc.address}/readyz") == b"OK\n"
    assert http_get(f"http://{cdc.address}/healthz").startswith(b"OK")


def test_not_ready(rig, new_cdc):
    """The metastore is away: it lives, and is not ready, and says why."""
    etcd = rig.etcd("away")
    cdc = new_cdc(config={"metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [etcd.address]},
                                              "rootPath": "x"}})
    etcd.kill()
    try:
        cdc.stop()
        cdc.ready = lambda: http_get(f"http://{cdc.address}/healthz")
        cdc.start()
        with pytest.raises(urllib.error.HTTPError) as refused:
            http_get(f"http://{cdc.address}/readyz")
        assert refused.value.code == 503 and b"not ready: tasks: " in refused.value.read()
    finally:
        rig.remove(etcd)
