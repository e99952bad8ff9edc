"""Checks the include rules of the C sources; prints each breach as "file:line: rule".

  layers.py        exit code 1 if there is a breach; the last line says how many files and breaches

An include may only point down, folders of one level never include each other:

  base < model, metrics < net < client < source, pipeline, sink, store < server < main

MAY below is that order, written out and cut down to what each folder is meant to know: the pipeline has no
peer, so that it can be tested without one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOUNS = {"base", "model", "metrics"}
MAY = {
    "base": set(),
    "model": {"base"},
    "metrics": {"base"},
    "net": {"base", "metrics"},
    "client/etcd": NOUNS | {"net", "proto"},
    "client/kafka": NOUNS | {"net", "proto"},
    "client/pulsar": NOUNS | {"net"},
    "client/milvus": NOUNS | {"net", "proto"},
    "client/http": NOUNS | {"net"},
    "source": NOUNS | {"client/etcd", "client/kafka", "client/pulsar", "proto"},
    "pipeline": NOUNS,
    "sink": NOUNS | {"client/milvus", "client/kafka"},
    "store": NOUNS | {"client/etcd", "proto"},
    # It wires all; it fills in the options of the clients, and hands its etcd to source and store.
    # The configuration's check reads Pulsar's url and credentials as the client will.
    "server": NOUNS | {"net", "client/etcd", "client/http", "client/milvus", "client/pulsar", "source", "pipeline",
                       "sink", "store"},
    "main": {"base", "server"},
}
INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^">]+)[">]')


def unit(path: str) -> str:
    """The folder that has a row in MAY."""
    parts = path.split("/")
    if parts[0] == "client" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if len(parts) > 1 else "main"


def includes(path: Path) -> list[tuple[int, bool, str]]:
    """(line, is a system header, name) of each."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            found.append((number, match[1] == "<", match[2]))
    return found


def check_levels(path: Path, breaches: list[str]) -> None:
    name = path.relative_to(ROOT / "src").as_posix()
    own = unit(name)
    if own not in MAY:
        breaches.append(f"{path}:1: the folder {own} has no row in tools/layers.py")
        return
    for line, system, header in includes(path):
        if system:
            continue
        if not header.startswith("proto/") and not (ROOT / "src" / header).is_file():
            breaches.append(f"{path}:{line}: \"{header}\" is no path from src/")
        elif unit(header) != own and unit(header) not in MAY[own]:
            breaches.append(f"{path}:{line}: {own} must not know {unit(header)} (\"{header}\")")
        elif header.endswith("_priv.h") and Path(header).parent != Path(name).parent:
            breaches.append(f"{path}:{line}: \"{header}\" is private to its folder")


def check_order(path: Path, breaches: list[str]) -> None:
    """Own header, system headers, project headers."""
    found = includes(path)
    own = path.relative_to(ROOT / "src").with_suffix(".h").as_posix()
    if (ROOT / "src" / own).is_file() and (not found or found[0][2] != own):
        breaches.append(f"{path}:{found[0][0] if found else 1}: its own header \"{own}\" comes first")
    project = False
    for index, (line, system, header) in enumerate(found):
        if system and project:
            breaches.append(f"{path}:{line}: <{header}> belongs before the project's headers")
        project = project or (not system and index > 0)


def check_header(path: Path, breaches: list[str]) -> None:
    if not re.search(r"^#pragma once$", path.read_text(), re.M):
        breaches.append(f"{path}:1: a header begins with #pragma once")


def check_tests(path: Path, breaches: list[str]) -> None:
    for line, system, header in includes(path):
        places = (ROOT / "src" / header, ROOT / "test" / header, path.parent / header)
        if not system and not header.startswith("proto/") and not any(p.is_file() for p in places):
            breaches.append(f"{path}:{line}: \"{header}\" is no path from src/ or test/")


def main() -> int:
    breaches: list[str] = []
    sources = sorted((ROOT / "src").rglob("*.[ch]"))
    tests = sorted((ROOT / "test").rglob("*.[ch]"))
    for path in sources:
        check_levels(path, breaches)
        if path.suffix == ".c":
            check_order(path, breaches)
    for path in tests:
        check_tests(path, breaches)
    for path in sources + tests:
        if path.suffix == ".h":
            check_header(path, breaches)
    for breach in breaches:
        print(breach.removeprefix(f"{ROOT}/"))
    print(f"layers: {len(sources) + len(tests)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
