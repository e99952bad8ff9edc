"""Our own test programs in their long form: every system call of every scenario fails once, in each way; the unit
tests under valgrind, which sees reads of uninitialised memory that the sanitizers do not."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from .tally import Tally

ROOT = Path(__file__).resolve().parents[2]
SUM = re.compile(r"^(\w+): (\d+) calls, (\d+) failed on purpose: (\d+) errors, (\d+) survived", re.M)
ONE_S = 1200  # of one program
# they start servers, or measure: nothing that valgrind could show better
NOT_UNDER_VALGRIND = re.compile(r"_real$|etcd|mysql|store\.test_store$|stress|thread$|test_hub$|ten_thousand|release|bench")


def build(preset: str, *targets: str) -> Path:
    subprocess.run(["cmake", "--preset", preset, "-S", str(ROOT)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", str(ROOT / "build" / preset), *targets], check=True, stdout=subprocess.DEVNULL)
    return ROOT / "build" / preset / "test"


def run(command: list[str], until: float) -> tuple[int, str]:
    """Exit code and output; -1 when the time is over."""
    left = max(1.0, min(ONE_S, until - time.monotonic()))
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True)
    try:
        text, _ = process.communicate(timeout=left)
        return process.returncode, text
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return -1, process.communicate()[0]


def faults(tally: Tally, until: float) -> None:
    """The fault sweep, test/sweep."""
    names = sorted(p.stem for p in (ROOT / "test" / "sweep").glob("sweep_*.c"))
    folder = build("asan", *names)
    for number, name in enumerate(names):
        share = time.monotonic() + (until - time.monotonic()) / (len(names) - number)
        code, text = run([str(folder / name), "--all"], share)
        for line in re.findall(r"^FINDING .*$", text, re.M):
            tally.find(line)
        if found := SUM.search(text):
            tally.add("system calls failed", int(found[3]))
        elif code == -1:
            tally.add("system calls failed", len(re.findall(rf"^{name[6:]} \d+ \w+ ", text, re.M)))
        else:
            tally.find(f"{name}: exit code {code}\n{text[-2000:]}")


def valgrind(tally: Tally, until: float) -> None:
    """Each unit test of the optimized build under memcheck."""
    folder = build("release")
    programs = [p for p in sorted(folder.glob("*.test_*")) if not NOT_UNDER_VALGRIND.search(p.name)]
    for program in programs:
        if time.monotonic() > until:
            return
        code, text = run(["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
                          "--errors-for-leak-kinds=definite", str(program)], time.monotonic() + ONE_S)
        tally.add("programs under valgrind")
        if code == 99:
            tally.find(f"{program.name}:\n{text[-3000:]}")
