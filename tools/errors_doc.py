"""Prints docs/errors.md with its table made anew from the error table of the code.

  errors_doc.py docs/errors.md src/base/err_table.h
"""

import re
import sys

ROW = re.compile(r'X\((\w+), (\w+), (\d+), "([^"]*)", "([^"]*)"\)')
RETRY = {"NO": "no", "YES": "yes", "IDEM": "if repeating changes nothing"}
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.S)


def main() -> int:
    with open(sys.argv[1]) as page, open(sys.argv[2]) as header:
        text, rows = page.read(), ROW.findall(header.read())
    lines = ["| code | metric label | repeated | HTTP | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{code}` | `{label}` | {RETRY[retry]} | {http} | {meaning} |"
              for code, retry, http, label, meaning in rows]
    print(TABLE.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
