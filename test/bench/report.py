"""The report of a run as JSON and as Markdown."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path


def about(options) -> dict:
    version = subprocess.run([options.build / "milvus-cdc", "--version"], capture_output=True, text=True, timeout=10)
    return {"date": datetime.date.today().isoformat(), "machine": f"{os.cpu_count()} cores, loopback",
            "command": shlex.join(["tools/bench", *sys.argv[1:]]), "version": version.stdout.strip(),
            "load_average": os.getloadavg()[0]}


def write(results: dict, folder: Path) -> None:
    (folder / "report.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Benchmark", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in results["about"].items()]
    for queue in [name for name in results if name != "about"]:
        lines += ["", f"# Source on {queue.capitalize()}"]
        for name, section in (("catchup", _catchup), ("lag", _lag), ("slow", _slow)):
            if name in results[queue]:
                lines += ["", *section(results[queue][name])]
    (folder / "report.md").write_text("\n".join(lines) + "\n")


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
