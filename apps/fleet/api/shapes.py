"""Bodies of history answers and lines of exports."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async

from apps.fleet.models.telemetry import ROLLED
from apps.fleet.selectors import HistoryPoint
from apps.fleet.snapshots import to_iso


def _range(point: HistoryPoint, metric: str) -> dict[str, float] | None:
    found = point.values.get(metric)
    return None if found is None else {"avg": found[0], "min": found[1], "max": found[2]}


def point_body(point: HistoryPoint) -> dict[str, Any]:
    """Return a point as the API shows it."""
    return {
        "timestamp": to_iso(point.at),
        "count": point.count,
        **{metric: _range(point, metric) for metric in ("cpu", "memory", "swap", "disk", "inodes")},
        "load": _range(point, "load1"),
        "temperature": _range(point, "temperature"),
        "network": {"rx": _range(point, "rx_rate"), "tx": _range(point, "tx_rate")},
        "disk_io": {"read": _range(point, "read_rate"), "write": _range(point, "write_rate")},
    }


def as_json(head: dict[str, Any], chunks: Iterator[list[HistoryPoint]]) -> Iterator[bytes]:
    """Yield one JSON document: `head` and `data`."""
    yield json.dumps(head)[:-1].encode() + b', "data": ['
    separator = ""
    for points in chunks:
        yield (separator + ",\n".join(json.dumps(point_body(point)) for point in points)).encode()
        separator = ",\n"
    yield b"]}\n"


def as_csv(chunks: Iterator[list[HistoryPoint]]) -> Iterator[bytes]:
    """Yield CSV: timestamp, count, then average, least and most of each metric; empty where nothing was measured."""

    def text(rows: list[list[Any]]) -> bytes:
        buffer = io.StringIO()
        csv.writer(buffer).writerows(rows)
        return buffer.getvalue().encode()

    yield text([["timestamp", "count", *(f"{metric}_{part}" for metric in ROLLED for part in ("avg", "min", "max"))]])
    for points in chunks:
        yield text(
            [
                [
                    to_iso(point.at),
                    point.count,
                    *(cell for metric in ROLLED for cell in point.values.get(metric, ("", "", ""))),
                ]
                for point in points
            ]
        )


async def in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks, each made in the request's thread: ASGI would read a plain iterator to its end first."""
    step = sync_to_async(lambda: next(chunks, None))
    while (chunk := await step()) is not None:
        yield chunk
