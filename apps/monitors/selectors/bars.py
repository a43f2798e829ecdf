"""Bars of the last days: one for each UTC day, for many monitors at once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.utils import timezone

from apps.monitors.models import CheckRollup1d, CheckRollup1h, CheckRollup5m, HeartbeatDay, HeartbeatState

EPOCH = date(1970, 1, 1)
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
UP, DEGRADED, DOWN = "up", "degraded", "down"
UNKNOWN, MAINTENANCE, NONE = "unknown", "maintenance", "none"
#: Below these shares of good results a day counts as degraded and as down.
DEGRADED_BELOW, DOWN_BELOW = 99.9, 95.0
#: A day on which so large a share of the answers was slow counts as degraded.
SLOW_SHARE = 0.1


@dataclass(slots=True)
class DayBar:
    """One UTC day of one monitor: how many results (or runs) of each kind."""

    date: date
    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    maintenance: int = 0

    @property
    def counted(self) -> int:
        """How many say something about the monitor."""
        return self.up + self.degraded + self.down

    @property
    def uptime_percent(self) -> float | None:
        """Share of the counted that were good; None: no data."""
        return round(100 * (self.up + self.degraded) / self.counted, 4) if self.counted else None

    @property
    def status(self) -> str:
        """Return up, degraded, down, unknown (we could not tell), maintenance, or none (no data)."""
        share = self.uptime_percent
        if share is None:
            return MAINTENANCE if self.maintenance else UNKNOWN if self.unknown else NONE
        if share < DOWN_BELOW:
            return DOWN
        if share < DEGRADED_BELOW or self.degraded > SLOW_SHARE * self.counted:
            return DEGRADED
        return UP

    @property
    def words(self) -> str:
        """Return the day in plain words, without any name."""
        share = self.uptime_percent
        if share is None:
            text = {MAINTENANCE: "maintenance", UNKNOWN: "not known", NONE: "no data"}[self.status]
        else:
            text = f"{share:.3f}".rstrip("0").rstrip(".") + " % up"
            if self.maintenance:
                text += ", in part maintenance"
        return f"{self.date.isoformat()}: {text}"


def daily_bars(kind: str, nums: Iterable[int], days: int = 90, now: datetime | None = None) -> dict[int, list[DayBar]]:
    """Return for each monitor one bar a UTC day, oldest first, today last; up to a minute behind.

    Args:
        kind: "endpoint" or "heartbeat".
        nums: the monitors' `num`.
        days: how many.

    Returns:
        num -> bars; a monitor without any data has bars of the status "none". At most three queries.
    """
    moment = (now or timezone.now()).astimezone(UTC)
    wanted = list(nums)
    today = (moment.date() - EPOCH).days
    first = today - days + 1
    if kind == "endpoint":
        sums = _endpoint_days(wanted, first, int(moment.timestamp() * 1000))
    elif kind == "heartbeat":
        sums = _heartbeat_days(wanted, first)
    else:
        raise ValueError(f"{kind} has no bars")
    return {
        num: [DayBar(EPOCH + timedelta(days=day), *sums.get((num, day), ())) for day in range(first, today + 1)]
        for num in wanted
    }


def _endpoint_days(nums: list[int], first: int, end: int) -> dict[tuple[int, int], list[int]]:
    """Return (num, day) -> counts. Days from days, then yesterday and today from hours, then five minutes."""
    yesterday = end - end % DAY_MS - DAY_MS
    settled = end - end % HOUR_MS - HOUR_MS
    begin = first * DAY_MS
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * 5)
    columns = ("up", "degraded", "down", "unknown", "maintenance")
    days = CheckRollup1d.objects.filter(num__in=nums, at__gte=begin, at__lt=yesterday)
    hours = CheckRollup1h.objects.filter(num__in=nums, at__gte=max(begin, yesterday), at__lt=settled)
    minutes = CheckRollup5m.objects.filter(num__in=nums, at__gte=max(begin, settled), at__lte=end)
    for rows in (days, hours, minutes):
        for num, at, *counts in rows.values_list("num", "at", *columns).iterator():
            total = sums[num, at // DAY_MS]
            for index, count in enumerate(counts):
                total[index] += count
    return sums


def _heartbeat_days(nums: list[int], first: int) -> dict[tuple[int, int], list[int]]:
    """Return (num, day) -> counts; the open day's are in the state."""
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * 5)
    closed = HeartbeatDay.objects.filter(num__in=nums, day__gte=first)
    for num, day, ok, failed, missed, excused, unknown in closed.values_list(
        "num", "day", "ok", "failed", "missed", "maintenance", "unknown"
    ):
        sums[num, day] = [ok, 0, failed + missed, unknown, excused]
    states = HeartbeatState.objects.filter(heartbeat__num__in=nums, day__gte=first)
    for num, day, ok, failed, missed in states.values_list(
        "heartbeat__num", "day", "day_ok", "day_failed", "day_missed"
    ):
        total = sums[num, day]
        total[0] += ok
        total[2] += failed + missed
    return sums
