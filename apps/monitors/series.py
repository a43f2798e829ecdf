"""Compact forms of results: the latency histogram that roll-ups keep and the last results that the state keeps."""

import math
from collections.abc import Iterable, Mapping

from apps.monitors.states.endpoints import DEGRADED, DOWN, UNKNOWN, UP

# --- histogram ---------------------------------------------------------------------------------------------------
# Class i holds latencies of [2**(i/4), 2**((i+1)/4)) ms: 64 classes reach from 1 ms to over 60 s, each 19 % wide.

CLASSES = 64

Histogram = dict[int, int]


def latency_class(latency_ms: float) -> int:
    """Return the class of a latency; everything up to 1 ms is class 0."""
    return 0 if latency_ms <= 1 else min(CLASSES - 1, int(4 * math.log2(latency_ms)))


def dump_histogram(counts: Mapping[int, int]) -> str:
    """Return a histogram as text, "class:count class:count", empty classes left out."""
    return " ".join(f"{index}:{counts[index]}" for index in sorted(counts))


def load_histogram(text: str) -> Histogram:
    """Return the histogram a text stands for."""
    pairs = (part.partition(":") for part in text.split())
    return {int(index): int(count) for index, _, count in pairs}


def merge_histograms(texts: Iterable[str]) -> Histogram:
    """Return the sum of histograms."""
    total: Histogram = {}
    for text in texts:
        for index, count in load_histogram(text).items():
            total[index] = total.get(index, 0) + count
    return total


def percentile(counts: Mapping[int, int], share: float, least: float, most: float) -> float:
    """Return the latency that `share` (0..1) of the checks did not exceed, in ms.

    Exact to the width of a class; never outside of what was measured.

    Args:
        least, most: the smallest and largest latency measured.
    """
    rank = math.ceil(share * sum(counts.values()))
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            return round(min(max(2 ** ((index + 0.5) / 4), least), most), 1)
    return round(most, 1)


# --- recent results ----------------------------------------------------------------------------------------------

RECENT = 30
_LETTERS = {UP: "u", DEGRADED: "g", DOWN: "d", UNKNOWN: "n"}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}


def add_recent(text: str, status: str, latency_ms: float | None) -> str:
    """Return the last results with one more: "u12.3,d,g950", the newest last, at most 30."""
    entry = _LETTERS[status] if latency_ms is None else f"{_LETTERS[status]}{latency_ms:.4g}"
    if not text:
        return entry
    parts = text.split(",")
    return ",".join([*parts[-(RECENT - 1) :], entry])


def recent(text: str) -> list[tuple[str, float | None]]:
    """Return status and latency (ms) of the last results, oldest first."""
    return [(_STATUSES[part[0]], float(part[1:]) if len(part) > 1 else None) for part in text.split(",") if part]
