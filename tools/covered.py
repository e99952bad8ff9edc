"""Checks that every test which a page names exists, and that its tables of defects are whole.

A test stands as `unit/server/test_x.c::test_y` or `e2e/test_x.py::test_y`, below test/.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# page: the ids that its tables must have, and how many of each
PAGES = {"comparison.md": {}, "compatibility.md": {"D": 53}, "reliability.md": {"C": 29, "S": 12, "P": 18, "U": 24}}
NAMED = re.compile(r"`((?:unit|e2e|fuzz)/[\w/]+\.(?:c|py))::(\w+)`")


def has_test(path: Path, name: str) -> bool:
    """A function of that name, or (in C) one that a macro makes test_<name> of."""
    if not path.is_file():
        return False
    return re.search(rf"\b{re.escape(name)}\s*\(", path.read_text()) is not None


def check(page: Path, ids: dict[str, int]) -> tuple[int, list[str]]:
    """(tests named, findings)."""
    text = page.read_text()
    tests = set(NAMED.findall(text))
    findings = [f"there is no {name} in test/{file}" for file, name in sorted(tests)
                if not has_test(ROOT / "test" / file, name)]
    for letter, most in ids.items():
        told = {int(n) for n in re.findall(rf"^\| {letter}-(\d+) \|", text, re.M)}
        findings += [f"{letter}-{n} is not in its table" for n in range(1, most + 1) if n not in told]
    for row in re.findall(r"^\|.*$", text, re.M):
        if row.rstrip().endswith("| |") or row.rstrip().endswith("||"):
            findings.append(f"a row without test or reason: {row[:80]}")
    return len(tests), [f"docs/{page.name}: {finding}" for finding in findings]


def main() -> int:
    named, findings = 0, []
    for name, ids in PAGES.items():
        tests, found = check(ROOT / "docs" / name, ids)
        named += tests
        findings += found
    for finding in findings:
        print(finding)
    print(f"covered: {named} tests named, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
