"""A server's figures over time."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from apps.fleet.models import Sample, Server
from apps.fleet.models.telemetry import ROLLED
from apps.fleet.retention import BY_NAME, DAY, HOUR, LEVELS, RAW, Level
from apps.fleet.services.rollups import aggregates
from apps.fleet.snapshots import to_iso

MOST_POINTS = 20_000
AUTO = "auto"
#: Up to this span (ms) `auto` takes this level.
_AUTO = ((30 * 60_000, "raw"), (12 * 3_600_000, "1m"), (3 * 86_400_000, "5m"), (90 * 86_400_000, "1h"))


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One sample or bucket: its beginning (epoch ms), how many samples it holds, metric -> (avg, min, max)."""

    at: int
    count: int
    values: dict[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class History:
    """Points in order of time. `next_at` is where to go on where there are more than a page holds."""

    resolution: str
    points: list[HistoryPoint]
    next_at: int | None = None


def to_ms(moment: datetime) -> int:
    """Return a time in epoch ms."""
    return int(moment.timestamp() * 1000)


def pick_resolution(wanted: str, start: int, end: int, *, now_ms: int | None = None) -> str:
    """Return the resolution to read: the one wanted; for `auto` the finest that is kept so long and not too dense."""
    if wanted != AUTO:
        return wanted
    now_ms = now_ms or time.time_ns() // 1_000_000
    name = next((name for most, name in _AUTO if end - start <= most), "1d")
    for level in LEVELS[LEVELS.index(BY_NAME[name]) :]:
        if start >= now_ms - level.keep_ms or level is DAY:
            return level.name
    return DAY.name


def history(
    server: Server,
    *,
    start: datetime,
    end: datetime,
    resolution: str = AUTO,
    after: int | None = None,
    limit: int = MOST_POINTS,
) -> History:
    """Return the server's figures in [start, end).

    Buckets that are not rolled up yet are worked out from the raw samples, so the newest minute is there.

    Args:
        resolution: raw, 1m, 5m, 1h, 1d or auto.
        after: epoch ms; only points after it.
        limit: most points.

    Returns:
        Ascending by time; for raw avg, min and max are the same.
    """
    first, last = to_ms(start), to_ms(end)
    name = pick_resolution(resolution, first, last)
    level = BY_NAME[name]
    if level is not RAW:
        first = first // level.ms * level.ms
    if after is not None:
        first = max(first, after + 1)
    points = list(_points(server.num, level, first, last, limit + 1))
    more = points[limit - 1].at if len(points) > limit else None
    return History(name, points[:limit], more)


def _points(num: int, level: Level, first: int, last: int, limit: int) -> Iterator[HistoryPoint]:
    if level is RAW:
        yield from (_raw_point(row) for row in _raw_rows(num, first, last, limit))
        return
    # What the roll-up has certainly done is read from it; the rest comes from below.
    now_ms = time.time_ns() // 1_000_000
    tail = max(first, (now_ms - max(level.ms, 300_000)) // level.ms * level.ms)
    count = 0
    if first < tail:
        for row in _select(_bucket_sql(level), [num, first, min(tail, last), limit]):
            count += 1
            yield _bucket_point(row)
    if tail < last and count < limit:
        below = HOUR if level is DAY else RAW
        yield from (_bucket_point(row) for row in _select(_tail_sql(level, below), [num, tail, last, limit - count]))


def _select(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(parameters))
        return cursor.fetchall()


def _bucket_sql(level: Level) -> str:
    columns = ", ".join(column for column, _ in aggregates(level, "s"))
    return f"SELECT at, {columns} FROM {level.table} WHERE num = %s AND at >= %s AND at < %s ORDER BY at LIMIT %s"


def _tail_sql(level: Level, below: Level) -> str:
    virtual = Level(level.name, level.ms, level.model, below)
    expressions = ", ".join(expression for _, expression in aggregates(virtual, "s"))
    bucket = f"s.at / {level.ms} * {level.ms}"
    return (
        f"SELECT {bucket} AS bucket, {expressions} FROM {below.table} s "
        f"WHERE s.num = %s AND s.at >= %s AND s.at < %s GROUP BY {bucket} ORDER BY bucket LIMIT %s"
    )


def _bucket_point(row: tuple[Any, ...]) -> HistoryPoint:
    values = {}
    for position, metric in enumerate(ROLLED):
        count, total, least, most = row[2 + 4 * position : 6 + 4 * position]
        if count:
            values[metric] = (round(total / count, 3), least, most)
    return HistoryPoint(int(row[0]), int(row[1]), values)


def _raw_rows(num: int, first: int, last: int, limit: int) -> list[tuple[Any, ...]]:
    rows = Sample.objects.filter(num=num, at__gte=first, at__lt=last).order_by("at")
    return list(rows.values_list("at", *ROLLED)[:limit])


def _raw_point(row: tuple[Any, ...]) -> HistoryPoint:
    values = {metric: (value, value, value) for metric, value in zip(ROLLED, row[1:], strict=True) if value is not None}
    return HistoryPoint(row[0], 1, values)


def export_rows(
    server: Server, *, start: datetime, end: datetime, resolution: str, chunk: int = 2000
) -> Iterator[list[HistoryPoint]]:
    """Yield the server's figures in chunks, ascending, without holding more than one of them."""
    after: int | None = None
    while True:
        page = history(server, start=start, end=end, resolution=resolution, after=after, limit=chunk)
        if page.points:
            yield page.points
        if page.next_at is None:
            return
        after = page.next_at


def recent_values(server: Server, metric: str, minutes: float = 15, *, limit: int = 1000) -> list[tuple[str, float]]:
    """Return a metric's raw values of the last minutes, as evidence: (ISO time, value), ascending.

    Args:
        metric: a figure of a sample, "load_per_core", or "disk:/path" and "inodes:/path" for one mount.
    """
    since = time.time_ns() // 1_000_000 - int(minutes * 60_000)
    rows = Sample.objects.filter(num=server.num, at__gte=since).order_by("-at")
    kind, _, path = metric.partition(":")
    found: list[tuple[str, float]] = []
    if path:
        column = {"disk": 1, "inodes": 4}.get(kind)
        if column is None:
            return []
        for at, mounts in rows.values_list("at", "mounts")[:limit]:
            for mount in json.loads(mounts):
                if mount[0] == path and mount[column] is not None:
                    found.append((to_iso(at), mount[column]))
    elif metric == "load_per_core":
        for at, load, cores in rows.values_list("at", "load1", "cores")[:limit]:
            if load is not None and cores:
                found.append((to_iso(at), round(load / cores, 3)))
    elif metric in ROLLED:
        found = [(to_iso(at), value) for at, value in rows.values_list("at", metric)[:limit] if value is not None]
    return found[::-1]
