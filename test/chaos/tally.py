"""What a chaos run has done, for its report: counters that any thread may raise, and what was found."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "build" / "chaos"  # what a run leaves


class Tally:
    """Counters and findings of one section."""

    def __init__(self, section: str = ""):
        self.section, self.begin, self.end = section, time.monotonic(), 0.0
        self.counts: Counter = Counter()
        self.findings: list[str] = []
        self._lock = threading.Lock()

    def add(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def find(self, text: str) -> None:
        """Something is wrong; the run goes on and fails at its end."""
        with self._lock:
            self.findings.append(text)
        print(f"FINDING {text}", flush=True)

    def seconds(self) -> float:
        return (self.end or time.monotonic()) - self.begin

    def line(self) -> str:
        """One line: what was done, and whether all was well."""
        done = ", ".join(f"{what} {number}" for what, number in sorted(self.counts.items()))
        return f"{self.section}: {done or 'nothing'}; findings {len(self.findings)}; {self.seconds():.0f} s"

    def describe(self) -> dict:
        return {"section": self.section, "seconds": round(self.seconds(), 1), "counts": dict(self.counts),
                "findings": self.findings}
