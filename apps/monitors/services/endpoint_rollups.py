"""Roll-ups of results: 5 minutes from raw results, hours from those, days from hours.

Whatever writes a result marks its bucket dirty in the same transaction; a roll-up takes marks away, computes those
buckets from the level below and marks the level above. So a late result counts as well as any other, and none twice.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection, transaction

from apps.monitors import series
from apps.monitors.models import CheckResult, CheckRollup1d, CheckRollup1h, CheckRollup5m, DirtyBucket
from apps.monitors.models.results import CheckRollup
from apps.monitors.states.endpoints import CODES, DEGRADED, DOWN, UNKNOWN, UP

LEVELS: tuple[tuple[type[CheckRollup], int], ...] = (
    (CheckRollup5m, 300_000),
    (CheckRollup1h, 3_600_000),
    (CheckRollup1d, 86_400_000),
)
PORTION = 200  # buckets a transaction: it keeps every other writer waiting


@dataclass(slots=True)
class Bucket:
    """Sums over results."""

    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    maintenance: int = 0
    latency_count: int = 0
    latency_sum: float = 0.0
    latency_min: float | None = None
    latency_max: float | None = None
    histogram: series.Histogram = field(default_factory=dict)

    def add_result(self, status: int, latency_ms: float | None, maintenance: bool = False) -> None:
        """Count one result; what was made while a maintenance window was open counts as that alone."""
        if maintenance:
            self.maintenance += 1
        elif status == CODES[UP]:
            self.up += 1
        elif status == CODES[DEGRADED]:
            self.degraded += 1
        elif status == CODES[DOWN]:
            self.down += 1
        elif status == CODES[UNKNOWN]:
            self.unknown += 1
        if latency_ms is not None:
            self._add_latencies(1, latency_ms, latency_ms, latency_ms)
            index = series.latency_class(latency_ms)
            self.histogram[index] = self.histogram.get(index, 0) + 1

    def add_bucket(
        self, up: int, degraded: int, down: int, unknown: int, latency_count: int, latency_sum: float,
        latency_min: float | None, latency_max: float | None, histogram: str, maintenance: int = 0,
    ) -> None:  # fmt: skip
        """Add a bucket of the level below."""
        self.up += up
        self.degraded += degraded
        self.down += down
        self.unknown += unknown
        self.maintenance += maintenance
        if latency_count and latency_min is not None and latency_max is not None:
            self._add_latencies(latency_count, latency_sum, latency_min, latency_max)
            for index, count in series.load_histogram(histogram).items():
                self.histogram[index] = self.histogram.get(index, 0) + count

    def _add_latencies(self, count: int, total: float, least: float, most: float) -> None:
        self.latency_count += count
        self.latency_sum += total
        self.latency_min = least if self.latency_min is None else min(self.latency_min, least)
        self.latency_max = most if self.latency_max is None else max(self.latency_max, most)

    @property
    def checks(self) -> int:
        """How many results say something about the target."""
        return self.up + self.degraded + self.down

    @property
    def uptime_percent(self) -> float | None:
        """Share of the results in which it answered; None: no data."""
        return round(100 * (self.up + self.degraded) / self.checks, 4) if self.checks else None

    def percentile(self, share: float) -> float | None:
        """Return a percentile of the latencies in ms; None: no data."""
        if self.latency_min is None or self.latency_max is None:
            return None
        return series.percentile(self.histogram, share, self.latency_min, self.latency_max)


BUCKET_FIELDS = (
    "up", "degraded", "down", "unknown", "latency_count", "latency_sum", "latency_min", "latency_max", "histogram",
    "maintenance",
)  # fmt: skip


def roll_up_results(level: int, *, most: int = 100_000) -> int:
    """Compute the dirty buckets of one level, in small transactions.

    Args:
        level: 0 (5 min), 1 (1 h), 2 (1 d).
        most: buckets at most.

    Returns:
        How many were computed.
    """
    done = 0
    while done < most:
        computed = _roll_up_portion(level)
        if not computed:
            break
        done += computed
    return done


def _roll_up_portion(level: int) -> int:
    marks = list(
        DirtyBucket.objects.filter(level=level).order_by("level", "at", "num").values_list("at", "num")[:PORTION]
    )
    if not marks:
        return 0
    by_start: dict[int, list[int]] = defaultdict(list)
    for at, num in marks:
        by_start[at].append(num)
    with transaction.atomic():
        # First the marks: whoever adds results now waits, or is seen below, or marks again.
        with connection.cursor() as cursor:
            sql = _UNMARK_SQL.format(table=DirtyBucket._meta.db_table)
            cursor.executemany(sql, [(level, at, num) for at, num in marks])
        _write(level, [(at, num, one) for at, nums in by_start.items() for num, one in _computed(level, at, nums)])
        if level + 1 < len(LEVELS):
            span = LEVELS[level + 1][1]
            _mark(level + 1, {(at - at % span, num) for at, num in marks})
    return len(marks)


# Plain SQL: where results are spread thin there is a question for each of them, and building it by the ORM took four
# fifths of the time for which the transaction keeps every other writer waiting.
_UNMARK_SQL = "DELETE FROM {table} WHERE level = %s AND at = %s AND num = %s"
_RESULTS_SQL = """
SELECT num, status, latency_ms, maintenance FROM {table} WHERE num IN ({nums}) AND at >= %s AND at < %s AND NOT manual
"""
_BELOW_SQL = "SELECT num, {fields} FROM {table} WHERE num IN ({nums}) AND at >= %s AND at < %s"


def _computed(level: int, at: int, nums: list[int]) -> Iterable[tuple[int, Bucket]]:
    buckets: dict[int, Bucket] = defaultdict(Bucket)
    places = ", ".join(["%s"] * len(nums))
    parameters = [*nums, at, at + LEVELS[level][1]]
    with connection.cursor() as cursor:
        if level == 0:
            cursor.execute(_RESULTS_SQL.format(table=CheckResult._meta.db_table, nums=places), parameters)
            for num, *result in cursor.fetchall():
                buckets[num].add_result(*result)
        else:
            table, fields = LEVELS[level - 1][0]._meta.db_table, ", ".join(BUCKET_FIELDS)
            cursor.execute(_BELOW_SQL.format(table=table, nums=places, fields=fields), parameters)
            for num, *sums in cursor.fetchall():
                buckets[num].add_bucket(*sums)
    return buckets.items()


_ROLLUP_SQL = """
INSERT INTO {table} (num, at, up, degraded, down, unknown, latency_count, latency_sum, latency_min, latency_max,
    histogram, maintenance)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (num, at) DO UPDATE SET up = excluded.up, degraded = excluded.degraded, down = excluded.down,
    unknown = excluded.unknown, latency_count = excluded.latency_count, latency_sum = excluded.latency_sum,
    latency_min = excluded.latency_min, latency_max = excluded.latency_max, histogram = excluded.histogram,
    maintenance = excluded.maintenance
"""
_MARK_SQL = "INSERT INTO {table} (level, at, num) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


def _write(level: int, buckets: Iterable[tuple[int, int, Bucket]]) -> None:
    rows = [
        (
            num, at, one.up, one.degraded, one.down, one.unknown, one.latency_count, round(one.latency_sum, 2),
            one.latency_min, one.latency_max, series.dump_histogram(one.histogram), one.maintenance,
        )
        for at, num, one in buckets
    ]  # fmt: skip
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_ROLLUP_SQL.format(table=LEVELS[level][0]._meta.db_table), rows)


def _mark(level: int, marks: Iterable[tuple[int, int]]) -> None:
    with connection.cursor() as cursor:
        sql = _MARK_SQL.format(table=DirtyBucket._meta.db_table)
        cursor.executemany(sql, [(level, at, num) for at, num in sorted(marks)])
