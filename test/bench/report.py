"""The report of a run: JSON, Markdown with every figure against its mark, and plots."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import marks
import plot


def about(options) -> dict:
    version = subprocess.run([options.server, "--version"], capture_output=True, text=True, timeout=10)
    return {"date": datetime.date.today().isoformat(), "machine": f"{os.cpu_count()} cores, loopback",
            "command": shlex.join(["tools/bench", *sys.argv[1:]]), "version": version.stdout.strip(),
            "load_average": os.getloadavg()[0]}


def write(results: dict, folder: Path) -> None:
    (folder / "report.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Benchmark", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in results["about"].items()]
    for group in [name for name in results if name != "about"]:
        sections = results[group]
        lines += ["", f"# {TITLES.get(group, f'Source on {group.capitalize()}')}", *_marks(marks.judge(sections))]
        for name, section in SECTIONS.items():
            if name in sections:
                lines += ["", *section(sections[name])]
        for name, picture in _plots(group, sections).items():
            (folder / name).write_text(picture)
            lines += ["", f"![{name}]({name})"]
    (folder / "report.md").write_text("\n".join(lines) + "\n")


def _marks(all_marks: list) -> list[str]:
    if not all_marks:
        return []
    answer = {True: "reached", False: "**missed**", None: "not measured"}
    return ["", "| mark | wanted | figure | |", "|---|---|---|---|",
            *(f"| {m.what} | {m.wanted} | {'' if m.figure is None else f'{m.figure:.3g} {m.unit}'.strip()} | "
              f"{answer[m.reached]} |" for m in all_marks)]


def _plots(group: str, sections: dict) -> dict[str, str]:
    """File names and pictures."""
    plots = {}
    if f := sections.get("floor"):
        values = [(title, statistics.median(r["mb_s"] for r in rows)) for title, rows in _floor_rows(f)]
        plots[f"{group}-floor.svg"] = plot.bars("Throughput", "MB/s", values)
    if r := sections.get("load"):
        plots[f"{group}-load.svg"] = plot.shares("Lag under load", "ms", {f"{x['share']} %": x["counts"] for x in r["runs"]})
    if r := sections.get("late"):
        plots[f"{group}-late.svg"] = plot.shares("Others' lag and a late stream", "ms", {"before": r["before"], "during": r["during"]})
    if r := sections.get("scale"):
        plots[f"{group}-scale.svg"] = plot.bars(
            "Memory", "MB", [(f"{x['collections']} on {x['channels']}", x["rss_mb"]) for x in r["runs"]])
    return plots


def _floor_rows(f: dict) -> list[tuple[str, list]]:
    delays = sorted({r["rtt_ms"] for r in f["runs"]})
    return [("consume", f["consume"]), ("upload", f["upload"]),
            *((f"{rtt} ms", [r for r in f["runs"] if r["rtt_ms"] == rtt]) for rtt in delays)]


def _floor(f: dict) -> list[str]:
    lines = [f"## Floor and catch-up with {f['bytes'] / 1e6:.0f} MB in {f['messages']} messages", "",
             "Medians; the server's rows by the delay of the target's answers.", "",
             "| | MB/s (all runs) | CPU s/GB | peak RSS, MB |", "|---|---|---|---|"]
    for title, rows in _floor_rows(f):
        every = ", ".join(f"{r['mb_s']:.0f}" for r in sorted(rows, key=lambda r: r["mb_s"]))
        lines.append(f"| {title} | {statistics.median(r['mb_s'] for r in rows):.0f} ({every}) | "
                     f"{statistics.median(r['cpu_s_gb'] for r in rows):.2f} | {max(r['peak_rss_mb'] for r in rows):.0f} |")
    return lines


def _small(s: dict) -> list[str]:
    return [f"## {s['messages']} small messages, the target answers after {s['rtt_ms']} ms", "",
            f"{s['messages_s']:.0f} messages a second in {s['calls']} calls, {s['times']:.0f} times as many as one call "
            f"each would give; peak RSS {s['peak_rss_mb']:.0f} MB."]


def _spread_row(title: str, spread: dict) -> str:
    return f"| {title} | {spread['p50']} | {spread['p90']} | {spread['p99']} | {spread['max']} | {spread['ticks']} |"


def _load(result: dict) -> list[str]:
    lines = [f"## Lag under load, ms; the whole of it is {result['full_mb_s']:.0f} MB/s", "",
             "| | p50 | p90 | p99 | max | ticks |", "|---|---|---|---|---|---|"]
    return lines + [_spread_row(f"{r['share']} %: {r['mb_s']:.0f} MB/s, {r['cores']:.2f} cores, peak RSS {r['peak_rss_mb']:.0f} MB",
                                r["lag_ms"]) for r in result["runs"]]


def _late(r: dict) -> list[str]:
    return [f"## A stream that replays {r['hours']} hours, {r['bytes'] / 1e6:.0f} MB in {r['seconds']:.0f} s: the others' lag, ms", "",
            f"The others have {r['live_mb_s']} MB/s. Peak RSS {r['peak_rss_mb']:.0f} MB.", "",
            "| | p50 | p90 | p99 | max | ticks |", "|---|---|---|---|---|---|",
            _spread_row("before", r["before_ms"]), _spread_row("during", r["during_ms"])]


def _scale(result: dict) -> list[str]:
    lines = ["## Scale", "", "Created: until all collections are on the target. First and all rows: after a restart, from the "
             "start of the process to the first and the last of three rows that wait in the topics.", "",
             "| collections | channels | created, s | first row, s | all rows, s | idle, % of a core | RSS, MB | peak, MB | kB each | threads |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    return lines + [f"| {r['collections']} | {r['channels']} | {r['create_s']:.1f} | {r['first_row_s']:.2f} | {r['all_rows_s']:.2f} | "
                    f"{100 * r['idle_cores']:.1f} | {r['rss_mb']:.0f} | {r['peak_rss_mb']:.0f} | {r['kb_each']:.1f} | {r['threads']} |"
                    for r in result["runs"]]


def _ddl(r: dict) -> list[str]:
    return [f"## {r['collections']} collections created, then dropped", "",
            f"Created in {r['create_s']:.1f} s, dropped in {r['drop_s']:.1f} s; peak RSS {r['peak_rss_mb']:.0f} MB. Another "
            "collection's lag meanwhile, ms:", "", "| | p50 | p90 | p99 | max | ticks |", "|---|---|---|---|---|---|",
            _spread_row("before", r["before_ms"]), _spread_row("during", r["during_ms"])]


def _counts(r: dict) -> list[str]:
    lines = [f"## Instructions for each MB, {r['bytes'] / 1e6:.0f} MB under callgrind", "",
             f"The server {r['server_per_mb'] / 1e6:.2f} M, reading alone {r['consume_per_mb'] / 1e6:.2f} M "
             f"(both with start and end of the process). Of the server's, by function:", "", "| k a MB | % | |", "|---|---|---|"]
    return lines + [f"| {t['per_mb'] / 1e3:.0f} | {t['percent']:.1f} | `{t['function']}` |" for t in r["top"]]


def _catchup(c: dict) -> list[str]:
    lines = [f"## Catch-up with {c['bytes'] / 1e6:.0f} MB in {c['messages']} messages", "",
             "Medians. Others: cores that the rest of the machine used, the broker and the sink among them.", "",
             "| | MB/s | CPU s/GB | user | system | peak RSS, MB | calls | others, cores |", "|---|---|---|---|---|---|---|---|"]
    floor = {key: statistics.median(f[key] for f in c["floor"]) for key in ("mb_s", "cpu_s_gb", "peak_rss_mb")}
    lines.append(f"| {c['floor_title']} | {floor['mb_s']:.0f} | {floor['cpu_s_gb']:.2f} | | | {floor['peak_rss_mb']:.0f} | | |")
    for rtt, m in c["median"].items():
        lines.append(f"| target answers after {rtt} ms | {m['mb_s']:.0f} | {m['cpu_s_gb']:.2f} | {m['user_s_gb']:.2f} | "
                     f"{m['system_s_gb']:.2f} | {m['peak_rss_mb']:.0f} | {m['calls']:.0f} | {m['others_cores']:.2f} |")
    return lines


def _lag(result: dict) -> list[str]:
    lines = [f"## Lag of {result['probes']} single rows, ms from the insert call until a query finds the row", "",
             "| | min | p50 | p90 | max |", "|---|---|---|---|---|"]
    for key, title in (("source_ms", "on the source"), ("target_ms", "on the target"),
                       ("difference_ms", "target minus source, row by row")):
        lines.append(f"| {title} | {result[key]['min']} | {result[key]['p50']} | {result[key]['p90']} | {result[key]['max']} |")
    return [*lines, "", f"{result['target_first']} of the rows were seen on the target first. Meanwhile the server used {result['idle_cores']:.3f} cores and "
                        f"{result['idle_rss_mb']:.0f} MB of memory."]


def _slow(result: dict) -> list[str]:
    return [f"## A target that takes {result['mb_s_meanwhile']:.1f} MB/s for {result['slow_s']} s", "",
            f"Peak RSS {result['peak_rss_mb']:.0f} MB, of which {result['slow_rss_mb']:.0f} MB while it was slow; then "
            f"{result['messages']} messages, {result['bytes'] / 1e6:.0f} MB, all there after {result['seconds']:.0f} s."]


TITLES = {"written": "A source that the bench writes (Kafka), a target that remembers collections and swallows rows"}
SECTIONS = {"floor": _floor, "catchup": _catchup, "small": _small, "lag": _lag, "load": _load, "late": _late, "slow": _slow,
            "scale": _scale, "ddl": _ddl, "counts": _counts}
