"""Figures of endpoint monitors: uptime, sparklines, response times. All but the latest comes from roll-ups."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet, Sum
from django.utils import timezone

from apps.core import errors
from apps.monitors import series
from apps.monitors.models import CheckResult, CheckRollup1d, CheckRollup1h, CheckRollup5m, Endpoint, EndpointState
from apps.monitors.models.results import CheckRollup
from apps.monitors.services.endpoint_rollups import BUCKET_FIELDS, Bucket
from apps.monitors.states.endpoints import CODES, DEGRADED, DOWN, UP

M5_MS, HOUR_MS, DAY_MS = 300_000, 3_600_000, 86_400_000
SPARKLINE_POINTS = 20

#: Windows of the uptime figures: name -> (length, what its start is rounded down to), in ms.
WINDOWS: dict[str, tuple[int, int]] = {
    "1h": (HOUR_MS, 1),
    "24h": (DAY_MS, M5_MS),
    "7d": (7 * DAY_MS, HOUR_MS),
    "30d": (30 * DAY_MS, HOUR_MS),
    "90d": (90 * DAY_MS, DAY_MS),
    "1y": (365 * DAY_MS, DAY_MS),
}


@dataclass(slots=True)
class Tally:
    """Counted results."""

    answered: int = 0
    down: int = 0
    unknown: int = 0
    maintenance: int = 0

    def add(self, answered: int, down: int, unknown: int = 0, maintenance: int = 0) -> None:
        """Add counts."""
        self.answered += answered
        self.down += down
        self.unknown += unknown
        self.maintenance += maintenance

    def add_result(self, status: int, is_maintenance: bool) -> None:
        """Add one result."""
        if is_maintenance:
            self.maintenance += 1
        elif status == CODES[DOWN]:
            self.down += 1
        elif status in (CODES[UP], CODES[DEGRADED]):
            self.answered += 1
        else:
            self.unknown += 1

    @property
    def checks(self) -> int:
        """How many results say something about the target."""
        return self.answered + self.down

    @property
    def percent(self) -> float | None:
        """Uptime; None: no data. What we could not check and what was maintenance counts on neither side."""
        return round(100 * self.answered / self.checks, 4) if self.checks else None


def to_ms(at: datetime) -> int:
    """Return epoch ms."""
    return int(at.timestamp() * 1000)


def from_ms(at: int) -> datetime:
    """Return the UTC time of epoch ms."""
    return datetime.fromtimestamp(at / 1000, UTC)


def _settled(now: int) -> int:
    """Return the start of the hour before this one: what lies before is rolled up, the rest is counted from results."""
    return now - now % HOUR_MS - HOUR_MS


_COUNTS = ("at", "up", "degraded", "down", "unknown", "maintenance")


def uptime_figures(num: int, now: datetime | None = None) -> dict[str, float | None]:
    """Return the uptime of one endpoint in percent for each of `WINDOWS`; None: no data. Four queries."""
    return {name: tally.percent for name, tally in uptime_tallies(num, now).items()}


def uptime_tallies(num: int, now: datetime | None = None) -> dict[str, Tally]:
    """Count the results of one endpoint over each of `WINDOWS`.

    The last one to two hours are counted from results, what lies before from roll-ups; so the longer windows begin at
    five full minutes, a full hour or a UTC day. Four queries.
    """
    end = to_ms(now or timezone.now())
    settled = _settled(end)
    yesterday = end - end % DAY_MS - DAY_MS
    starts = {name: (end - length) - (end - length) % grain for name, (length, grain) in WINDOWS.items()}
    tallies = {name: Tally() for name in WINDOWS}
    results = CheckResult.objects.filter(num=num, at__gte=settled, at__lte=end, manual=False)
    for at, status, is_maintenance in results.values_list("at", "status", "maintenance"):
        for name, start in starts.items():
            if at >= start:
                tallies[name].add_result(status, is_maintenance)
    month = min(starts["30d"], yesterday)
    for model, low, high, windows in (
        (CheckRollup5m, starts["24h"], settled, {"24h": starts["24h"]}),
        (
            CheckRollup1h,
            month,
            settled,
            {"7d": starts["7d"], "30d": starts["30d"], "90d": yesterday, "1y": yesterday},
        ),
        (CheckRollup1d, starts["1y"], yesterday, {"90d": starts["90d"], "1y": starts["1y"]}),
    ):
        rows = model._default_manager.filter(num=num, at__gte=low, at__lt=high)
        for at, up, slow, failed, unknown, maintenance in rows.values_list(*_COUNTS):
            for name, start in windows.items():
                if at >= start:
                    tallies[name].add(up + slow, failed, unknown, maintenance)
    return tallies


def uptime_24h(nums: Iterable[int], now: datetime | None = None) -> dict[int, float | None]:
    """Return the uptime over the last 24 h of many endpoints, in two queries; one without data is missing.

    It begins at a full hour and is up to a minute behind.
    """
    end = to_ms(now or timezone.now())
    settled, wanted = _settled(end), list(nums)
    start = (end - DAY_MS) - (end - DAY_MS) % HOUR_MS
    tallies: dict[int, Tally] = defaultdict(Tally)
    for model, low, high in ((CheckRollup1h, start, settled), (CheckRollup5m, settled, end + 1)):
        rows = model._default_manager.filter(num__in=wanted, at__gte=low, at__lt=high)
        sums = rows.order_by().values_list("num").annotate(Sum("up"), Sum("degraded"), Sum("down"))
        for num, up, slow, failed in sums:
            tallies[num].add(up + slow, failed)
    return {num: tally.percent for num, tally in tallies.items()}


def daily_uptime(num: int, days: int, now: datetime | None = None) -> list[dict[str, Any]]:
    """Return one entry for each of the last `days` UTC days, today first.

    Returns:
        [{date, uptime_percent (None: no data), checks, down}]
    """
    end = to_ms(now or timezone.now())
    today = end - end % DAY_MS
    settled, yesterday = _settled(end), today - DAY_MS
    first = today - (days - 1) * DAY_MS
    tallies: dict[int, Tally] = defaultdict(Tally)
    for model, low, high in ((CheckRollup1d, first, yesterday), (CheckRollup1h, max(first, yesterday), settled)):
        rows = model._default_manager.filter(num=num, at__gte=low, at__lt=high)
        for at, up, slow, failed in rows.values_list("at", "up", "degraded", "down"):
            tallies[at - at % DAY_MS].add(up + slow, failed)
    results = CheckResult.objects.filter(num=num, at__gte=max(first, settled), at__lte=end, manual=False)
    for at, status, is_maintenance in results.values_list("at", "status", "maintenance"):
        tallies[at - at % DAY_MS].add_result(status, is_maintenance)
    entries = []
    for day in range(today, first - 1, -DAY_MS):
        tally = tallies.get(day, Tally())
        entries.append(
            {
                "date": from_ms(day).date(),
                "uptime_percent": tally.percent,
                "checks": tally.checks,
                "down": tally.down,
            }
        )
    return entries


# --- sparklines and charts ---------------------------------------------------------------------------------------

#: Ranges of sparklines: name -> (roll-up, width of a point in ms, points).
SPARKLINES: dict[str, tuple[type[CheckRollup], int, int]] = {
    "1h": (CheckRollup5m, M5_MS, 12),
    "6h": (CheckRollup5m, 3 * M5_MS, 24),
    "24h": (CheckRollup1h, HOUR_MS, 24),
    "7d": (CheckRollup1h, 6 * HOUR_MS, 28),
    "30d": (CheckRollup1d, DAY_MS, 30),
    "90d": (CheckRollup1d, 3 * DAY_MS, 30),
}


def sparklines(
    endpoints: QuerySet[Endpoint], span: str = "", now: datetime | None = None
) -> dict[str, list[float | None]]:
    """Return latencies in ms of every endpoint, oldest first, None where there is none.

    Args:
        span: a key of `SPARKLINES` for mean values at even distances, "" for the last 20 checks.

    Raises:
        Invalid: an unknown range (422).
    """
    if not span:
        rows = EndpointState.objects.filter(endpoint__in=endpoints.order_by()).values_list("endpoint_id", "recent")
        return {
            str(pk): [latency for _, latency in series.recent(text)[-SPARKLINE_POINTS:]] for pk, text in rows.iterator()
        }
    if span not in SPARKLINES:
        raise errors.Invalid({"range": f"must be one of {', '.join(SPARKLINES)}"}, where="query")
    model, width, points = SPARKLINES[span]
    end = to_ms(now or timezone.now())
    start = end - end % width - (points - 1) * width
    ids = dict(endpoints.order_by().values_list("num", "id"))
    sums = {num: [0.0] * points for num in ids}
    counts = {num: [0] * points for num in ids}
    # By hand: a day of 5,000 endpoints is 120,000 rows, and the ORM takes four times as long to hand them out.
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT num, (at - %s) / %s, latency_sum, latency_count FROM {model._meta.db_table} WHERE at >= %s",
            [start, width, start],
        )
        for num, position, total, count in cursor.fetchall():
            if num in sums and position < points:
                sums[num][position] += total
                counts[num][position] += count
    return {
        str(pk): [
            round(total / count, 1) if count else None for total, count in zip(sums[num], counts[num], strict=True)
        ]
        for num, pk in ids.items()
    }


#: Ranges of response-time charts: name -> (roll-up, width of a point in ms, points).
CHARTS: dict[str, tuple[type[CheckRollup], int, int]] = {
    "1h": (CheckRollup5m, M5_MS, 12),
    "24h": (CheckRollup5m, M5_MS, 288),
    "7d": (CheckRollup1h, HOUR_MS, 168),
    "30d": (CheckRollup1h, HOUR_MS, 720),
    "90d": (CheckRollup1d, DAY_MS, 90),
    "1y": (CheckRollup1d, DAY_MS, 365),
}


def response_times(num: int, span: str = "24h", now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the response times of one endpoint for a chart, oldest first; buckets without results are left out.

    Returns:
        [{at (epoch ms), checks, down, unknown, mean_ms, min_ms, max_ms, p50_ms, p95_ms, p99_ms}], latencies None where
        nothing answered.

    Raises:
        Invalid: an unknown range (422).
    """
    if span not in CHARTS:
        raise errors.Invalid({"range": f"must be one of {', '.join(CHARTS)}"}, where="query")
    model, width, points = CHARTS[span]
    end = to_ms(now or timezone.now())
    start = end - end % width - (points - 1) * width
    rows = model._default_manager.filter(num=num, at__gte=start).order_by("at").values_list("at", *BUCKET_FIELDS)
    chart = []
    for at, *sums in rows:
        bucket = Bucket()
        bucket.add_bucket(*sums)
        chart.append({"at": at, **_latencies(bucket), "checks": bucket.checks, "down": bucket.down,
                      "unknown": bucket.unknown})  # fmt: skip
    return chart


def latency_summary(num: int, now: datetime | None = None) -> dict[str, float | None]:
    """Return mean, least, most and percentiles of the latencies of the last 24 h, in ms."""
    total = Bucket()
    since = to_ms((now or timezone.now()) - timedelta(hours=24))
    rows = CheckRollup5m.objects.filter(num=num, at__gte=since - since % M5_MS)
    for sums in rows.values_list(*BUCKET_FIELDS):
        total.add_bucket(*sums)
    return _latencies(total)


def _latencies(bucket: Bucket) -> dict[str, float | None]:
    count = bucket.latency_count
    return {
        "mean_ms": round(bucket.latency_sum / count, 1) if count else None,
        "min_ms": bucket.latency_min,
        "max_ms": bucket.latency_max,
        "p50_ms": bucket.percentile(0.50),
        "p95_ms": bucket.percentile(0.95),
        "p99_ms": bucket.percentile(0.99),
    }
