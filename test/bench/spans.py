"""Distributions: what cdc-sink counted by millisecond, merged over channels."""

from __future__ import annotations


def merge(lags: dict[str, list], channels=None) -> dict[int, int]:
    """{ms: ticks} of those channels (a test on the name), by default of all."""
    merged: dict[int, int] = {}
    for name, counts in lags.items():
        if channels is None or channels(name):
            for ms, count in counts:
                merged[ms] = merged.get(ms, 0) + count
    return merged


def percentile(counts: dict[int, int], share: float) -> int | None:
    """The smallest ms that this share of all ticks did not exceed; None without any."""
    left = sum(counts.values()) * share
    for ms in sorted(counts):
        left -= counts[ms]
        if left <= 0:
            return ms
    return None


def spread(counts: dict[int, int]) -> dict:
    return {"ticks": sum(counts.values()), "p50": percentile(counts, 0.5), "p90": percentile(counts, 0.9),
            "p99": percentile(counts, 0.99), "max": max(counts, default=None)}
