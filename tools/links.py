"""Checks that what documents and comments point to exists: links and paths in *.md, names of *.md pages anywhere.

  links.py        prints "file:line: what is missing", exit code 1 if anything is
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]+)[^)]*\)")
PATH = re.compile(r"`((?:src|test|tools|configs|docs)/[\w./-]*[\w-])[*/]?`")
PAGE = re.compile(r"(?<![\w./$-])((?:[\w-]+/)*[\w-]+\.md)\b")
MADE = {"report.md"}  # by tools, below build/


def sources() -> list[Path]:
    found = [p for folder in ("src", "test", "tools", "proto") for p in (ROOT / folder).rglob("*")
             if p.suffix in (".c", ".h", ".py", ".proto", ".yaml") or (p.parent.name == "tools" and not p.suffix)]
    return sorted(p for p in found if p.is_file() and p.name != "links.py")


def has(name: str) -> bool:
    """A path in the tree, whole or as the beginning of file names (`pipeline/tchan`)."""
    path = ROOT / name
    return path.exists() or (path.parent.is_dir() and any(path.parent.glob(path.name + "*")))


def check_page(page: Path, broken: list[str]) -> None:
    for number, line in enumerate(page.read_text().splitlines(), 1):
        where = f"{page.relative_to(ROOT)}:{number}"
        for target in LINK.findall(line):
            if not (page.parent / target).exists():
                broken.append(f"{where}: the link {target} leads nowhere")
        for path in PATH.findall(line):
            if not has(path):
                broken.append(f"{where}: there is no {path}")


def check_source(path: Path, pages: set[str], broken: list[str]) -> None:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        for name in PAGE.findall(line):
            known = (ROOT / name).exists() or (ROOT / "docs" / name).exists() or name in pages
            if not known and Path(name).name not in MADE:
                broken.append(f"{path.relative_to(ROOT)}:{number}: there is no page {name}")


def main() -> int:
    broken: list[str] = []
    pages = sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "README.md"]
    for page in pages:
        check_page(page, broken)
    names = {page.name for page in pages if "internals" in page.parts}
    for path in sources():
        check_source(path, names, broken)
    print("\n".join(broken + [f"links: {len(pages)} pages, {len(broken)} broken"]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
