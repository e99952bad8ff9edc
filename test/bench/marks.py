"""The project's marks, each with the figure of a run that it is held against."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Callable

MIB = 1.048576


@dataclass
class Mark:
    what: str
    wanted: str
    figure: float | None
    reached: bool | None  # None: not measured
    unit: str = ""


def _median(rows: list[dict], key: str, **only) -> float | None:
    values = [r[key] for r in rows if all(r.get(k) == v for k, v in only.items())]
    return statistics.median(values) if values else None


def _mark(what: str, figure: float | None, limit: float, unit: str = "", least: bool = False) -> Mark:
    sign = ">=" if least else "<="
    reached = None if figure is None else figure >= limit if least else figure <= limit
    return Mark(what, f"{sign} {limit:g} {unit}".strip(), figure, reached, unit)


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _floor(f: dict) -> list[Mark]:
    read, sent = (_median(f[k], "mb_s") for k in ("consume", "upload"))
    cpu = _median(f["consume"], "cpu_s_gb") + _median(f["upload"], "cpu_s_gb")
    own = _median(f["runs"], "mb_s", rtt_ms=0)
    marks = [_mark("catch-up, share of the slower floor", _ratio(own, min(read, sent)), 0.8, least=True),
             _mark("catch-up CPU, times the floor's", _ratio(_median(f["runs"], "cpu_s_gb", rtt_ms=0), cpu), 1.3),
             _mark("catch-up CPU", _median(f["runs"], "cpu_s_gb", rtt_ms=0), 1.5, "s/GB")]
    for rtt, share in ((20, 0.9), (100, 0.7)):
        marks.append(_mark(f"catch-up at {rtt} ms, share of that at 0 ms",
                           _ratio(_median(f["runs"], "mb_s", rtt_ms=rtt), own), share, least=True))
    marks.append(_mark("peak RSS of catch-ups", max(r["peak_rss_mb"] for r in f["runs"]) / MIB, 128, "MiB"))
    return marks


def _small(s: dict) -> list[Mark]:
    return [_mark("small messages, times one call each", s["times"], 100, least=True),
            _mark("peak RSS with small messages", s["peak_rss_mb"] / MIB, 128, "MiB")]


def _load(result: dict) -> list[Mark]:
    return [_mark(f"lag at {r['share']} % load, {p}", r["lag_ms"][p], limit, "ms")
            for r in result["runs"] if r["share"] <= 50 for p, limit in (("p50", 10), ("p99", 50))]


def _late(result: dict) -> list[Mark]:
    before, during = result["before_ms"]["p99"], result["during_ms"]["p99"]
    moved = None if before is None or during is None else during - before
    return [_mark("p99 lag that a late stream adds to others", moved, 50, "ms"),
            _mark("peak RSS with a late stream", result["peak_rss_mb"] / MIB, 128, "MiB")]


def _scale(result: dict) -> list[Mark]:
    marks = []
    for r in result["runs"]:
        name = f"{r['collections']} collections on {r['channels']} channels"
        if r["collections"] == 100:
            marks.append(_mark(f"start to first row, {name}", r["first_row_s"], 1, "s"))
        if r["collections"] == 1000:
            marks.append(_mark(f"idle CPU, {name}", 100 * r["idle_cores"], 1, "% of a core"))
        if r["collections"] == 10000:
            marks += [_mark(f"start to first row, {name}", r["first_row_s"], 10, "s"),
                      _mark(f"RSS, {name}", r["rss_mb"] / MIB, 100, "MiB")]
    return marks


def _lag(result: dict) -> list[Mark]:
    """Against a real source's own visibility, without load."""
    marks = [_mark("visible lag of single rows, p50", result["difference_ms"]["p50"], 10, "ms"),
             _mark("idle RSS with one task", result["idle_rss_mb"] / MIB, 15, "MiB")]
    return marks


def _catchup(result: dict) -> list[Mark]:
    return [_mark("peak RSS of catch-ups from a real Milvus' topics",
                  max(r["peak_rss_mb"] for r in result["runs"]) / MIB, 128, "MiB")]


JUDGES: dict[str, Callable[[dict], list[Mark]]] = {
    "floor": _floor, "catchup": _catchup, "small": _small, "lag": _lag, "load": _load, "late": _late, "scale": _scale}


def judge(sections: dict) -> list[Mark]:
    return [mark for name, of in JUDGES.items() if name in sections for mark in of(sections[name])]
