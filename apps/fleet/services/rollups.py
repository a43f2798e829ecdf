"""Roll samples up: 1m from raw, 5m from 1m, 1h from 5m, 1d from 1h.

A bucket that got a row is marked dirty. The roll-up takes marks of buckets that are over, recomputes each from all rows
below it, and marks the bucket above. So late and repeated samples come out right, and nothing is counted twice.
"""

import time

from django.db import connection, transaction

from apps.fleet.models import DirtyBucket
from apps.fleet.models.telemetry import ROLLED
from apps.fleet.retention import LEVELS, RAW, Level, forget_marks_of_gone_servers, interval_s
from apps.fleet.services.samples import mark_dirty

BATCH = 100
SETTLE_MS = 2000  # what was sent in a bucket's last moment has arrived by then


def aggregates(level: Level, source: str) -> list[tuple[str, str]]:
    """Return (column, expression) pairs that roll rows of the level below up into `level`.

    Args:
        source: alias of the table below.
    """
    assert level.below is not None
    if level.below is RAW:
        pairs = [("count", "count(*)")]
        for name in ROLLED:
            value = f"{source}.{name}"
            pairs += [
                (f"{name}_n", f"count({value})"),
                (f"{name}_sum", f"sum({value})"),
                (f"{name}_min", f"min({value})"),
                (f"{name}_max", f"max({value})"),
            ]
        return pairs
    pairs = [("count", f"sum({source}.count)")]
    for name in ROLLED:
        pairs += [(f"{name}_{part}", f"{function}({source}.{name}_{part})") for part, function in _PARTS]
    return pairs


_PARTS = (("n", "sum"), ("sum", "sum"), ("min", "min"), ("max", "max"))


def _recompute_sql(level: Level, buckets: list[tuple[int, int]]) -> str:
    assert level.below is not None
    pairs = aggregates(level, "s")
    columns = ", ".join(["num", "at", *(column for column, _ in pairs)])
    values = ", ".join(f"({int(num)}, CAST({int(at)} AS bigint))" for num, at in buckets)
    changed = ", ".join(f"{column} = excluded.{column}" for column, _ in pairs)
    return (
        f"WITH due (num, at) AS (VALUES {values}) "
        f"INSERT INTO {level.table} ({columns}) "
        f"SELECT d.num, d.at, {', '.join(expression for _, expression in pairs)} "
        f"FROM due d JOIN {level.below.table} s ON s.num = d.num AND s.at >= d.at AND s.at < d.at + {level.ms} "
        f"WHERE 1 = 1 GROUP BY d.num, d.at "
        f"ON CONFLICT (num, at) DO UPDATE SET {changed}"
    )


def roll_up(*, now_ms: int | None = None, for_s: float = 8.0) -> int:
    """Recompute the dirty buckets that are over, level by level.

    Args:
        now_ms: epoch ms; the clock where None.
        for_s: stop after so many seconds; the marks that are left wait for the next call.

    Returns:
        How many buckets were recomputed.
    """
    now_ms = now_ms if now_ms is not None else time.time_ns() // 1_000_000
    end = time.monotonic() + for_s
    done = 0
    forget_marks_of_gone_servers()
    for position, level in enumerate(LEVELS):
        if level is RAW:
            continue
        above = LEVELS[position + 1] if position + 1 < len(LEVELS) else None
        while time.monotonic() < end:
            count = _roll_up_batch(level, above, now_ms)
            done += count
            if count < BATCH:
                break
            time.sleep(0.005)  # lets other writers in between
    return done


def _roll_up_batch(level: Level, above: Level | None, now_ms: int) -> int:
    over = now_ms - SETTLE_MS - level.ms
    due = DirtyBucket.objects.filter(level=level.ms, at__lte=over).order_by("at", "num")
    if not due.exists():
        return 0
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        buckets = list(due.values_list("num", "at")[:BATCH])
        if not buckets:
            return 0
        # The marks go first: a sample that is being written now marks anew.
        with connection.cursor() as cursor:
            cursor.executemany(
                f"DELETE FROM {DirtyBucket._meta.db_table} WHERE level = %s AND num = %s AND at = %s",
                [(level.ms, num, at) for num, at in buckets],
            )
            cursor.execute(_recompute_sql(level, buckets))
        if above is not None:
            mark_dirty(above.ms, {(num, at // above.ms * above.ms) for num, at in buckets}, now_ms)
    return len(buckets)


def is_behind(*, now_ms: int) -> bool:
    """Return whether minutes have waited for their roll-up for more than ten of them."""
    return DirtyBucket.objects.filter(level=60_000, at__lt=now_ms - 600_000 - 2000 * interval_s()).exists()
