"""The bench suite itself: what its report says, and that its sections run, tiny, against the server under test."""

import json
import sys
import types
import xml.etree.ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "test/bench"))

import marks  # noqa: E402
import report  # noqa: E402
import sections  # noqa: E402
import spans  # noqa: E402
from rig.server import default_binary  # noqa: E402


def run_of(mb_s: float, cpu: float, rss: float, rtt: int = 0) -> dict:
    return {"mb_s": mb_s, "cpu_s_gb": cpu, "peak_rss_mb": rss, "rtt_ms": rtt}


FLOOR = {"bytes": 10**9, "messages": 2000, "consume": [run_of(200, 1.0, 50)], "upload": [run_of(500, 0.2, 20)],
         "runs": [run_of(170, 1.5, 90), run_of(140, 1.6, 150, 20)]}


def test_marks_take_the_slower_floor_and_the_right_delay():
    found = {m.what: m for m in marks.judge({"floor": FLOOR})}
    assert found["catch-up, share of the slower floor"].figure == pytest.approx(0.85)
    assert found["catch-up, share of the slower floor"].reached is True
    assert found["catch-up CPU, times the floor's"].figure == pytest.approx(1.25)
    assert found["catch-up at 20 ms, share of that at 0 ms"].reached is False
    assert found["catch-up at 100 ms, share of that at 0 ms"].reached is None
    assert found["peak RSS of catch-ups"].reached is False


def test_percentiles_of_counted_ticks():
    merged = spans.merge({"a": [[1, 98], [5, 1]], "b": [[70, 1]], "c": [[999, 50]]}, lambda name: name != "c")
    assert spans.spread(merged) == {"ticks": 100, "p50": 1, "p90": 1, "p99": 5, "max": 70}
    assert spans.spread({})["p99"] is None


def test_a_report_has_marks_plots_and_figures(tmp_path):
    counts = {3: 90, 12: 9, 400: 1}
    load = {"full_mb_s": 200.0, "runs": [{"share": 50, "mb_s": 99.0, "cores": 0.4, "peak_rss_mb": 60.0,
                                          "lag_ms": spans.spread(counts), "counts": counts}]}
    results = {"about": {"date": "today"}, "written": {"floor": FLOOR, "load": load}}
    report.write(results, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| catch-up CPU, times the floor's | <= 1.3 | 1.25 | reached |" in text and "**missed**" in text
    assert "| lag at 50 % load, p99 | <= 50 ms | 12 ms | reached |" in text
    assert json.loads((tmp_path / "report.json").read_text())["written"]["floor"]["messages"] == 2000
    for picture in ("written-floor.svg", "written-load.svg"):
        assert f"({picture})" in text
        xml.etree.ElementTree.parse(tmp_path / picture)


@pytest.mark.only_queue("kafka")
def test_sections_run(rig, tmp_path):
    """Rows, lags, collections made and dropped, a restart: with real etcd and Kafka and no Milvus."""
    build = next((b for b in (ROOT / "build/asan", ROOT / "build/release") if (b / "test/cdc-sink").exists()), None)
    if not build:
        pytest.skip("cdc-sink is not built")
    options = types.SimpleNamespace(
        build=build, server=default_binary(), server_args="server --config {config}", server_config=None, out=tmp_path,
        shards=2, small=300, small_rtt_ms=20, scale=[(4, 8)], ddl=4, seconds=1, late_mb_s=1)
    rig.etcd(), rig.kafka()
    results = {name: sections.ALL[name](rig, options) for name in ("small", "scale", "ddl")}
    assert results["small"]["rows"] >= 300 and results["small"]["calls"] < 300
    assert results["scale"]["runs"][0]["all_rows_s"] > 0
    assert results["ddl"]["during_ms"]["ticks"] > 0
    report.write({"about": {}, "written": results}, tmp_path)
    assert "small messages, times one call each" in (tmp_path / "report.md").read_text()
