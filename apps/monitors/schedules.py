"""Schedules: when a job is expected next, by interval, by cron or by a systemd calendar, in a time zone.

Pure; no database. A calendar stands where a cron expression stands: five fields are cron, anything else is a calendar.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from oncalendar import OnCalendarError, TzIterator

INTERVAL_LEAST_S, INTERVAL_MOST_S = 10, 366 * 86400

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: Calendars that still come round then have no last time.
_LATER = datetime(2150, 1, 1, tzinfo=UTC)
# The explanations of cron expressions say "the 31th day".
_ORDINALS, _ENDINGS = re.compile(r"\b([23])([123])th\b"), {"1": "1st", "2": "2nd", "3": "3rd"}
_FIELDS = {"minute": 0, "hour": 1, "day-of-month": 2, "month": 3, "day-of-week": 4}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs are expected: every `interval_seconds`, or by `cron` in `timezone` (IANA)."""

    interval_seconds: int | None = None
    cron: str = ""
    timezone: str = "UTC"

    def next_after(self, base: datetime) -> datetime:
        """Return the first expected time after `base`, in UTC."""
        if not self.cron:
            return base + timedelta(seconds=self.interval_seconds or 0)
        if is_calendar(self.cron):
            return _next_calendar_slot(self.cron, self.timezone, int(base.timestamp()))
        return _next_slot(self.cron, self.timezone, int(base.timestamp() // 60))

    def due_after(self, base: datetime, early_s: int) -> datetime:
        """Return when the run after the one at `base` is due.

        A cron run that reports up to `early_s` before its slot counts for that slot, not for the one before it.
        """
        due = self.next_after(base)
        if self.cron and early_s and due - base <= timedelta(seconds=early_s):
            return self.next_after(due)
        return due

    def period_s(self, base: datetime) -> int:
        """Return the interval, or the shortest distance between the next eight cron slots, in seconds."""
        if not self.cron:
            return self.interval_seconds or 0
        slots = [self.next_after(base)]
        for _ in range(8):
            slots.append(self.next_after(slots[-1]))
        return int(min((b - a).total_seconds() for a, b in zip(slots, slots[1:], strict=False)))

    def slots_between(self, start: datetime, end: datetime, most: int = 10_000) -> int:
        """Return how many expected times lie in (start, end]."""
        if not self.cron:
            return max(0, int((end - start).total_seconds() // (self.interval_seconds or 1)))
        count = 0
        slot = self.next_after(start)
        while slot <= end and count < most:
            count += 1
            slot = self.next_after(slot)
        return count

    def words(self) -> str:
        """Return the schedule as people say it."""
        if not self.cron:
            return f"every {duration_words(self.interval_seconds or 0)}"
        return f"{'calendar' if is_calendar(self.cron) else 'cron'} {self.cron}, {self.timezone}"

    def explained(self) -> str:
        """Return the schedule as a sentence: "At 02:30 on Monday through Friday, Europe/Berlin"."""
        if not self.cron or is_calendar(self.cron):
            words = self.words()
            return words[:1].upper() + words[1:]
        words = CronSim(self.cron, _LATER).explain()
        return f"{_ORDINALS.sub(lambda found: found[1] + _ENDINGS[found[2]], words)}, {self.timezone}"


def normalised(cron: str) -> str:
    """Return the five fields of a cron expression or nickname.

    Raises:
        ValueError: an unknown nickname, not five fields, or a field that is wrong; the text names it.
    """
    text = " ".join(cron.split())
    if text.startswith("@"):
        fields = _NICKNAMES.get(text.lower())
        if fields is None:
            raise ValueError(f'"{text}" is not one of {", ".join(_NICKNAMES)}')
        return fields
    parts = text.split(" ")
    if len(parts) != 5:
        raise ValueError(
            f"give five fields (minute, hour, day of month, month, day of week), not {len(parts) if text else 0}"
        )
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name in _FIELDS:
            raise ValueError(f'the {name} field "{parts[_FIELDS[name]]}" is wrong') from None
        raise ValueError(str(error)) from None
    except StopIteration:
        raise ValueError("this never happens: no such day comes in the next 50 years") from None
    return text


def normalised_calendar(text: str) -> str:
    """Return a systemd calendar expression ("Mon..Fri *-*-* 09:00", "weekly") with single spaces.

    Raises:
        ValueError: it is none, names a field that is wrong, or ends on a fixed date.
    """
    text = " ".join(text.split())
    if len(text.split(" ")) == 5:
        raise ValueError("these are five fields as of cron; give it as a cron expression")
    try:
        next(TzIterator(text, _LATER))
    except OnCalendarError as error:
        raise ValueError(f"{str(error).replace('Bad ', 'wrong ').lower()}, in {text!r}") from None
    except StopIteration:
        raise ValueError("this ends on a fixed date; leave the year open, so that there is always a next run") from None
    return text


def is_calendar(expression: str) -> bool:
    """Return whether an expression is a systemd calendar: cron alone has five fields."""
    return expression.count(" ") != 4


def is_zone(name: str) -> bool:
    """Return whether `name` is an IANA time zone."""
    return name in _zones()


@lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(16_384)
def _next_slot(cron: str, zone: str, minute: int) -> datetime:
    # Slots lie on whole minutes, so all moments of one minute have the same next slot.
    base = datetime.fromtimestamp(minute * 60, UTC)
    # In the repeated hour the slot of the first pass may come out once more: it is not after `base`.
    for slot in CronSim(cron, base.astimezone(_zone(zone))):
        found = slot.astimezone(UTC)
        if found > base:
            return found
    raise ValueError(f"{cron} never happens")


@lru_cache(16_384)
def _next_calendar_slot(calendar: str, zone: str, second: int) -> datetime:
    base = datetime.fromtimestamp(second, UTC)
    for slot in TzIterator(calendar, base.astimezone(_zone(zone))):
        found = slot.astimezone(UTC)
        if found > base:
            return found
    raise ValueError(f"{calendar} never happens again")


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of an IANA name."""
    return _zone(name)


def zone_names() -> frozenset[str]:
    """Return all IANA names."""
    return _zones()


def default_grace_s(period_s: int) -> int:
    """Return the grace where none is given: a fifth of the period, within one minute and one hour."""
    return min(3600, max(60, period_s // 5))


def default_early_s(period_s: int) -> int:
    """Return the early window where none is given: a tenth of the period, at most five minutes."""
    return min(300, period_s // 10)


def duration_words(seconds: float) -> str:
    """Return a duration as people say it: "45 s", "5 min", "1 h 30 min", "2 d"."""
    left = int(seconds)
    if left < 120 and left % 60:
        return f"{left} s"
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
