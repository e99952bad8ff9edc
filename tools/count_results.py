"""Prints "passed failed" of a phase's results, for tools/test.

  count_results.py ctest FILE.xml     cmocka programs by their test cases, others as one
  count_results.py pytest FILE.xml    by test; skipped ones count as neither
  count_results.py lint FILE.log      by the last line "N passed, N failed"; without it nothing
"""

import re
import sys
import xml.etree.ElementTree as xml

# cmocka's summary of one group: "[  PASSED  ] 3 test(s)." and "[  FAILED  ] 1 test(s), listed below:"
# (other versions of cmocka put the group's name before the number)
CMOCKA = re.compile(r"\[\s+(PASSED|FAILED)\s+\] (?:[^\n]*: )?(\d+) test\(s\)")


def ctest(path: str) -> tuple[int, int]:
    passed = failed = 0
    for case in xml.parse(path).iter("testcase"):
        status = case.get("status")
        if status in ("disabled", "notrun"):
            continue
        good = bad = 0
        for verdict, number in CMOCKA.findall(case.findtext("system-out") or ""):
            if verdict == "PASSED":
                good += int(number)
            else:
                bad += int(number)
        if status == "fail" and not bad:
            bad = 1  # it crashed, hung, leaked, or is no cmocka program
        if not good and not bad:
            good = 1
        passed += good
        failed += bad
    return passed, failed


def pytest(path: str) -> tuple[int, int]:
    passed = failed = 0
    for case in xml.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" not in kinds:
            passed += 1
    return passed, failed


def lint(path: str) -> tuple[int, int]:
    with open(path, errors="replace") as log:
        found = re.findall(r"(\d+) passed, (\d+) failed", log.read())
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)


def main() -> int:
    try:
        print(*{"ctest": ctest, "pytest": pytest, "lint": lint}[sys.argv[1]](sys.argv[2]))
    except (OSError, xml.ParseError) as error:
        print(0, 1)
        print(f"no results: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
