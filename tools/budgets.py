"""Checks the size and habit budgets of the C sources; prints one table, then the offenders.

  budgets.py [LIBRARY]    exit code 1 if a budget is exceeded. LIBRARY is build/release/libcdc.a by default; its
                          data sections tell the mutable globals (not measured when it is missing)

Needs lizard (test/requirements.txt).
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import lizard

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 600
FUNCTION_LINES, FUNCTION_LINES_MOST = 60, 100
FUNCTION_SHARE = 0.96
PARAMETERS = 9
COMPLEXITY_P90 = 9
# Callbacks: the library decides.
FOREIGN_SIGNATURES = {"on_header": "nghttp2", "on_request": "libmicrohttpd"}
COMMENTS = (0.07, 0.24)
TEST_SHARE = 0.5
BANNED = ("strcpy strcat sprintf vsprintf strtok atoi atol atof atoll gets rand srand sleep usleep nanosleep "
          "exit alloca").split()
# State that belongs to the process, each with its reason.
GLOBALS = {
    "levels": "base/log.c: the level of each component, changeable at run time",
    "log_fd": "base/log.c: the log file",
    "registry": "metrics/metrics.c: the series of the process",
    "threads": "base/thread.c: who hangs is asked of the process as a whole",
    "threads_mtx": "base/thread.c: its lock",
    "own_life": "base/thread.c: a thread's own entry there",
}

# A comment, or a literal (which may hold what looks like a comment, and the other way round).
COMMENT_OR_LITERAL = re.compile(r"(/\*.*?\*/|//[^\n]*)|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
BANNED_CALL = re.compile(rf"(?<![\w.>])({'|'.join(BANNED)})\s*\(")
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# lizard takes a macro behind a parameter list for the function's name; list_foreach is a loop.
ATTRIBUTE = re.compile(r"\b(?:REQUIRES|ACQUIRES|RELEASES|PRINTF|CLEANUP|CAPABILITY)\([^()]*\)|"
                       r"\b(?:NO_TSA|NODISCARD|NORETURN|UNUSED)\b")
FOREACH = re.compile(r"\blist_foreach\b")


@dataclass
class Row:
    name: str
    value: str
    budget: str
    offenders: list[str] = field(default_factory=list)
    failed: bool | None = None  # None: by the offenders

    @property
    def bad(self) -> bool:
        return bool(self.offenders) if self.failed is None else self.failed


@dataclass
class Source:
    name: str
    text: str
    code: str  # comments and literals blanked out
    lines: int
    comment_lines: int


def blank(match: re.Match) -> str:
    """Keeps the line numbers."""
    return re.sub(r"[^\n]", " ", match[0])


def read(path: Path) -> Source:
    text = path.read_text()
    code = COMMENT_OR_LITERAL.sub(blank, text)
    comments = sum(m[1].count("\n") + 1 for m in COMMENT_OR_LITERAL.finditer(text) if m[1])
    return Source(path.relative_to(ROOT).as_posix(), text, code, text.count("\n"), comments)


def sources(folder: str, pattern: str) -> list[Source]:
    return [read(p) for p in sorted((ROOT / folder).rglob(pattern))]


def places(files: list[Source], pattern: re.Pattern, in_text: bool = False) -> list[str]:
    found = []
    for f in files:
        for number, line in enumerate((f.text if in_text else f.code).splitlines(), 1):
            match = pattern.search(line)
            if match:
                found.append(f"{f.name}:{number}: {match[0].strip()}")
    return found


def quantile(values: list[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def function_rows(files: list[Source]) -> list[Row]:
    functions = []
    for f in files:
        plain = FOREACH.sub("while", ATTRIBUTE.sub(blank, f.text))
        for fn in lizard.analyze_file.analyze_source_code(f.name, plain).function_list:
            functions.append((f.name, fn))
    lines = [fn.end_line - fn.start_line + 1 for _, fn in functions]
    longer = [f"{name}:{fn.start_line}: {fn.name} has {n} lines"
              for (name, fn), n in zip(functions, lines) if n > FUNCTION_LINES]
    too_long = [f"{name}:{fn.start_line}: {fn.name} has {n} lines"
                for (name, fn), n in zip(functions, lines) if n > FUNCTION_LINES_MOST]
    short = 1 - len(longer) / max(1, len(functions))
    complexity = [fn.cyclomatic_complexity for _, fn in functions]
    return [
        Row("functions", str(len(functions)), "", failed=False),
        Row("function lines p50/p90/p99", "/".join(str(quantile(lines, q)) for q in (.5, .9, .99)), "", failed=False),
        Row(f"functions of <= {FUNCTION_LINES} lines", f"{short:.1%}", f">= {FUNCTION_SHARE:.0%}", longer,
            short < FUNCTION_SHARE),
        Row("longest function", str(max(lines, default=0)), f"<= {FUNCTION_LINES_MOST}", too_long),
        Row("most parameters", str(max((fn.parameter_count for _, fn in functions), default=0)), f"<= {PARAMETERS}",
            [f"{name}:{fn.start_line}: {fn.name} has {fn.parameter_count} parameters"
             for name, fn in functions
             if fn.parameter_count > PARAMETERS and fn.name not in FOREIGN_SIGNATURES]),
        Row("cyclomatic complexity p90", str(quantile(complexity, .9)), f"<= {COMPLEXITY_P90}",
            failed=quantile(complexity, .9) > COMPLEXITY_P90),
    ]


def global_row(library: Path) -> Row:
    """What the linker would put into writable memory; constant tables with pointers are .data.rel.ro."""
    if not library.is_file():
        return Row("mutable globals", "not measured", "", failed=False)
    table = subprocess.run(["objdump", "-t", str(library)], check=True, capture_output=True, text=True).stdout
    member, found, unknown = "", 0, []
    for line in table.splitlines():
        if ":     file format" in line:
            member = line.split(":")[0]
        match = re.match(r"\S+ .{7} (\.t?(?:data|bss)\S*|\*COM\*)\s+\S+ (\S+)$", line)
        if not match or match[1].startswith(".data.rel.ro") or match[2].startswith("."):
            continue
        found += 1
        if match[2].split(".")[0] not in GLOBALS:
            unknown.append(f"{member}: {match[2]} is no global of the list in tools/budgets.py")
    return Row("mutable globals", str(found), f"the {len(GLOBALS)} listed", unknown)


def size_rows(files: list[Source], tests: list[Source]) -> list[Row]:
    total = sum(f.lines for f in files)
    bodies = [f.lines for f in files if f.name.endswith(".c")]
    comments = sum(f.comment_lines for f in files) / max(1, total)
    share = sum(f.lines for f in tests) / max(1, total)
    return [
        Row("lines", str(total), "", failed=False),
        Row("file lines p50/p90/max", f"{quantile(bodies, .5)}/{quantile(bodies, .9)}/{max(bodies, default=0)}",
            f"<= {FILE_LINES}", [f"{f.name}:1: {f.lines} lines" for f in files if f.lines > FILE_LINES]),
        Row("comments", f"{comments:.1%}", f"{COMMENTS[0]:.0%} to {COMMENTS[1]:.0%}",
            failed=not COMMENTS[0] <= comments <= COMMENTS[1]),
        Row("test lines per line", f"{share:.2f}", f">= {TEST_SHARE}", failed=share < TEST_SHARE),
    ]


def habit_rows(files: list[Source], tests: list[Source]) -> list[Row]:
    rows = []
    for name, checked, pattern, in_text in (
            ("goto", files, re.compile(r"\bgoto\s+\w+"), False),
            ("banned calls", files + tests, BANNED_CALL, False),
            ("typedef of a struct", files + tests, re.compile(r"\btypedef\s+(?:struct|union)\b"), False),
            ("unfinished marks", files + tests, UNDONE, True)):
        found = places(checked, pattern, in_text)
        rows.append(Row(name, str(len(found)), "0", found))
    return rows


def main() -> int:
    library = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/release/libcdc.a"
    files = sources("src", "*.[ch]")
    tests = sources("test", "*.[ch]")
    rows = size_rows(files, sources("test", "*.py") + tests) + function_rows(
        [f for f in files if f.name.endswith(".c")]) + [global_row(library)] + habit_rows(files, tests)
    for row in rows:
        print(f"{row.name:28} {row.value:>14}  {row.budget:14} {'EXCEEDED' if row.bad else ''}".rstrip())
    for row in rows:
        for offender in row.offenders if row.bad else []:
            print(offender)
    bad = sum(row.bad for row in rows)
    print(f"budgets: {len(rows)} rows, {bad} exceeded")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
