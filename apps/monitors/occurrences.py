"""When a maintenance window is open: its occurrences. Pure; no database.

A recurring window lasts its length on the wall clock of its zone: one from 01:00 for three hours ends at 04:00 on each
day, also on the two days on which the clocks change, where that is two or four hours. A start that the spring change
leaves out comes as much later as the clocks jump, and keeps its full length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from apps.monitors.schedules import Schedule

DAY = timedelta(days=1)
#: The clocks of a zone never change by more than this.
_SHIFT = timedelta(hours=3)
#: Longer than this no recurring occurrence may last.
LENGTH_MOST_S = 7 * 86400


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One opening of a window; the end is not part of it."""

    starts_at: datetime
    ends_at: datetime

    def covers(self, at: datetime) -> bool:
        """Return whether `at` lies in it."""
        return self.starts_at <= at < self.ends_at


@dataclass(frozen=True, slots=True)
class Rule:
    """When a window is open.

    Args:
        kind: "once", "weekly" or "cron".
        starts_at, ends_at: the one occurrence of "once"; first and last moment of the recurring ones, where given.
        weekdays: 0 is Monday.
        duration_s: length of a recurring occurrence on the wall clock, in seconds.
        cut_at: the occurrence that covers this moment ends at it.
    """

    kind: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    weekdays: frozenset[int] = frozenset()
    start_time: time | None = None
    duration_s: int = 0
    cron: str = ""
    timezone: str = "UTC"
    cut_at: datetime | None = None

    def occurrences(self, after: datetime) -> Iterator[Occurrence]:
        """Yield what ends after `after`, soonest first; without end where the window recurs for ever.

        Raises:
            ValueError: the rule can't be worked out (a zone or a cron expression that is wrong).
        """
        for one in self._bounded(after):
            cut = self.cut_at
            if cut is not None and one.covers(cut):
                one = Occurrence(one.starts_at, cut)
            if one.ends_at > after and one.ends_at > one.starts_at:
                yield one

    def covering(self, at: datetime) -> Occurrence | None:
        """Return the occurrence that covers `at`; of several the one that ends last."""
        found = None
        for one in self.occurrences(at):
            if one.starts_at > at:
                break
            if found is None or one.ends_at > found.ends_at:
                found = one
        return found

    def next_after(self, at: datetime) -> Occurrence | None:
        """Return the first occurrence that begins after `at`."""
        return next((one for one in self.occurrences(at) if one.starts_at > at), None)

    def _bounded(self, after: datetime) -> Iterator[Occurrence]:
        if self.kind == "once":
            if self.starts_at is None or self.ends_at is None:
                raise ValueError("it has no start or no end")
            yield Occurrence(self.starts_at, self.ends_at)
            return
        if self.starts_at is not None:
            after = max(after, self.starts_at)
        for one in self._recurring(after):
            if self.ends_at is not None and one.starts_at >= self.ends_at:
                return
            starts = one.starts_at if self.starts_at is None else max(one.starts_at, self.starts_at)
            ends = one.ends_at if self.ends_at is None else min(one.ends_at, self.ends_at)
            yield Occurrence(starts, ends)

    def _recurring(self, after: datetime) -> Iterator[Occurrence]:
        try:
            zone = ZoneInfo(self.timezone)
        except Exception as error:  # a name that is no path, a file that is no zone, nothing of that name
            raise ValueError(f'"{self.timezone}" is not a time zone') from error
        length = timedelta(seconds=self.duration_s)
        if not length:
            raise ValueError("it has no length")
        first = after - length - _SHIFT
        starts = self._weekly(first, zone) if self.kind == "weekly" else self._by_cron(first)
        for start in starts:
            yield Occurrence(start, wall_clock_end(start, length, zone))

    def _weekly(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        if not self.weekdays or self.start_time is None or not all(0 <= day <= 6 for day in self.weekdays):
            raise ValueError("it has no weekdays or no start time")
        day: date = (after.astimezone(zone) - DAY).date()
        while day.year < 9990:
            if day.weekday() in self.weekdays:
                yield datetime.combine(day, self.start_time, zone).astimezone(UTC)
            day += DAY

    def _by_cron(self, after: datetime) -> Iterator[datetime]:
        schedule = Schedule(cron=self.cron, timezone=self.timezone)
        while True:
            try:
                after = schedule.next_after(after)
            except StopIteration:
                return
            except ValueError:
                raise
            except Exception as error:  # what the parser says of an expression that is wrong
                raise ValueError(f'the cron expression "{self.cron}" is wrong: {error}') from error
            yield after


def wall_clock_end(start: datetime, length: timedelta, zone: ZoneInfo) -> datetime:
    """Return the moment at which the clocks of `zone` have gone on by `length` since `start`."""
    local = start.astimezone(zone).replace(tzinfo=None) + length
    end = local.replace(tzinfo=zone).astimezone(UTC)
    # A start in the second pass of a repeated hour may find its end in the first one.
    return end if end > start else local.replace(tzinfo=zone, fold=1).astimezone(UTC)
