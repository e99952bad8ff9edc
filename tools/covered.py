"""Checks docs/compatibility.md: every test it names exists, and no defect of the reference is left out.

A test stands as `unit/server/test_x.c::test_y` or `e2e/test_x.py::test_y`, below test/.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
DEFECTS = 53
NAMED = re.compile(r"`((?:unit|e2e|fuzz)/[\w/]+\.(?:c|py))::(\w+)`")


def has_test(path: Path, name: str) -> bool:
    """A function of that name, or (in C) one that a macro makes test_<name> of."""
    if not path.is_file():
        return False
    return re.search(rf"\b{re.escape(name)}\s*\(", path.read_text()) is not None


def main() -> int:
    text = PAGE.read_text()
    findings = []
    tests = set(NAMED.findall(text))
    for file, name in sorted(tests):
        if not has_test(ROOT / "test" / file, name):
            findings.append(f"there is no {name} in test/{file}")
    told = {int(n) for n in re.findall(r"^\| D-(\d+) \|", text, re.M)}
    findings += [f"defect D-{n} is not in the table" for n in range(1, DEFECTS + 1) if n not in told]
    for row in re.findall(r"^\|.*$", text, re.M):
        if row.rstrip().endswith("| |") or row.rstrip().endswith("||"):
            findings.append(f"a row without test or reason: {row[:80]}")
    for finding in findings:
        print(f"{PAGE.relative_to(ROOT)}: {finding}")
    print(f"covered: {len(tests)} tests named, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
