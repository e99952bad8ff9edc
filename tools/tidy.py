"""Runs clang-tidy over the C files of src/, two at a time, each only when something it reads has changed.

  tidy.py [FILE...]    all by default; exit code 1 if there are findings

What a file reads is what ninja knows of it (build/release); a clean result is remembered in build/lint/tidy by the
hash of these contents, of .clang-tidy and of clang-tidy's version.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
CACHE = ROOT / "build/lint/tidy"
# The analyzer's default of 225,000 makes one file take a quarter of a minute; at this it finds the same here.
NODES = 20000
ANALYZER = [arg for value in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}")
            for arg in ("--extra-arg", value)]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_by_file() -> dict[str, list[Path]]:
    """The files of ours that each source reads, itself first; system headers don't change under us."""
    reads: dict[str, list[Path]] = {}
    block: list[Path] = []
    for line in run("ninja", "-C", str(BUILD), "-t", "deps").splitlines() + [""]:
        if line.startswith("    "):
            path = (BUILD / line.strip()).resolve()
            if path.is_relative_to(ROOT):
                block.append(path)
        elif block:
            reads[str(block[0])] = block
            block = []
    return reads


class Hasher:
    def __init__(self) -> None:
        self.common = (run("clang-tidy", "--version") + (ROOT / ".clang-tidy").read_text() + str(NODES)).encode()
        self.known: dict[Path, bytes] = {}
        self.everything = sorted((ROOT / "src").rglob("*.h"))

    def content(self, path: Path) -> bytes:
        if path not in self.known:
            self.known[path] = hashlib.sha256(path.read_bytes()).digest()
        return self.known[path]

    def key(self, source: Path, reads: dict[str, list[Path]]) -> str:
        total = hashlib.sha256(self.common)
        for path in [source] + sorted(reads.get(str(source), self.everything)):
            if path.exists():
                total.update(str(path.relative_to(ROOT)).encode() + self.content(path))
        return total.hexdigest()


def findings(source: Path) -> str:
    done = subprocess.run(["clang-tidy", "-p", str(BUILD), "--quiet", *ANALYZER, str(source)],
                          capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    return (done.stdout or done.stderr).replace(f"{ROOT}/", "")


def main() -> int:
    begin = time.monotonic()
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    sources = {Path(c["file"]) for c in commands if Path(c["file"]).is_relative_to(ROOT / "src")}
    if len(sys.argv) > 1:
        sources &= {Path(name).resolve() for name in sys.argv[1:]}
    CACHE.mkdir(parents=True, exist_ok=True)
    hasher, reads = Hasher(), read_by_file()
    keys = {source: hasher.key(source, reads) for source in sorted(sources) if source.exists()}
    todo = [source for source, key in keys.items() if not (CACHE / key).exists()]
    bad = 0
    with ThreadPoolExecutor(2) as pool:
        for source, text in zip(todo, pool.map(findings, todo)):
            if text:
                bad += 1
                print(text.rstrip(), flush=True)
            else:
                (CACHE / keys[source]).touch()
    for old in CACHE.iterdir():
        if old.name not in keys.values() and len(sys.argv) == 1:
            old.unlink()
    print(f"tidy: {len(keys)} files, {len(todo)} of them changed, {bad} with findings, "
          f"{time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
