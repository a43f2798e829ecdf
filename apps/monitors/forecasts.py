"""What a schedule will do: its coming runs, and what people should know about them before they rely on it. Pure."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cronsim import CronSim
from oncalendar import BaseIterator

from apps.monitors.schedules import Schedule, default_early_s, default_grace_s, duration_words, is_calendar, zone_of

RUNS = 10
#: How far ahead changes of the clock are looked for.
AHEAD = timedelta(days=400)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forecast:
    """The coming runs of a schedule, in UTC, and what is odd about it, in sentences."""

    words: str
    runs: list[datetime]
    period_s: int
    grace_seconds: int
    early_seconds: int
    warnings: list[str] = field(default_factory=list)


def forecast(
    schedule: Schedule, *, now: datetime, grace_seconds: int | None = None, early_seconds: int | None = None
) -> Forecast:
    """Return what a schedule will do from `now` on; an interval counts from `now`.

    Args:
        grace_seconds, early_seconds: as set; chosen by the period where None.
    """
    period = schedule.period_s(now)
    grace = default_grace_s(period) if grace_seconds is None else grace_seconds
    early = (default_early_s(period) if schedule.cron else 0) if early_seconds is None else early_seconds
    return Forecast(
        schedule.explained(), coming(schedule, now), period, grace, early, warnings_of(schedule, now, grace, period)
    )


def coming(schedule: Schedule, base: datetime, count: int = RUNS) -> list[datetime]:
    """Return the `count` expected times after `base`, in UTC."""
    runs: list[datetime] = []
    while len(runs) < count:
        base = schedule.next_after(base)
        runs.append(base.astimezone(UTC))
    return runs


def warnings_of(schedule: Schedule, now: datetime, grace_s: int, period_s: int) -> list[str]:
    """Return what is odd about a schedule: months without a run, clocks that change, steps that don't fit."""
    found: list[str] = []
    if schedule.cron:
        found += _odd_fields(schedule.cron)
        found += _months_without(schedule, now)
        if period_s > 3600:
            found += _clock_changes(schedule, now)
    if period_s and grace_s >= period_s:
        found.append(
            f"The grace ({duration_words(grace_s)}) is not shorter than the time between two runs "
            f"({duration_words(period_s)}): a run that fails to come is noticed only after the next one was due."
        )
    return found


def _odd_fields(cron: str) -> Iterator[str]:
    if is_calendar(cron):
        return
    minute, hour, day, _, weekday = cron.split(" ")
    for text, size, what, whole in ((minute, 60, "minutes", "hour"), (hour, 24, "hours", "day")):
        step = text.removeprefix("*/")
        if step != text and step.isdigit() and int(step) > 0 and size % int(step):
            last = size - (size - 1) // int(step) * int(step)
            yield (
                f'"{text}" starts anew with each {whole}: after every {step} {what} there is one step of '
                f"{last} {what} at the end of the {whole}."
            )
    if not day.startswith("*") and not weekday.startswith("*"):
        yield (
            f'Both the day of month ("{day}") and the day of week ("{weekday}") are given: cron runs on every day '
            "that matches either of them."
        )


def _months_without(schedule: Schedule, now: datetime) -> Iterator[str]:
    zone = zone_of(schedule.timezone)
    local = now.astimezone(zone)
    first = schedule.next_after(now)
    if first - now > timedelta(days=366):
        years = (first - now).days // 365
        far = f"more than {years} year{'s' * (years > 1)} on"
        yield f"The next run is only on {first.astimezone(zone):%Y-%m-%d}, {far}."
        return
    if not _every_month(schedule.cron):
        return  # the months were chosen
    missing = []
    year, month = local.year, local.month
    for _ in range(12):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        start = datetime(year, month, 1, tzinfo=zone)
        slot = schedule.next_after((start - timedelta(seconds=1)).astimezone(UTC)).astimezone(zone)
        if (slot.year, slot.month) != (year, month):
            missing.append(month)
    if missing:
        names = _listed([_MONTHS[month - 1] for month in sorted(missing)])
        yield f"It does not run in {names}: no such day comes then."


def _every_month(cron: str) -> bool:
    return "*-*" in cron or "*-" not in cron and ":" in cron if is_calendar(cron) else cron.split(" ")[3] == "*"


def _clock_changes(schedule: Schedule, now: datetime) -> Iterator[str]:
    if is_calendar(schedule.cron) and schedule.cron.split(" ")[-1].count("/") and ":" not in schedule.cron.split()[-1]:
        return  # it names a zone of its own
    zone = zone_of(schedule.timezone)
    for at, before, after in clock_changes(schedule.timezone, now, now + AHEAD):
        local = (at.replace(tzinfo=None) + before).replace(tzinfo=None)
        jump = after - before
        start, end = (local, local + jump) if jump > timedelta(0) else (local + jump, local)
        hit = next(naive_slots(schedule.cron, start, end), None)
        if hit is None:
            continue
        day = f"{start:%Y-%m-%d}"
        if jump > timedelta(0):
            actual = schedule.next_after(at - timedelta(minutes=1)).astimezone(zone)
            where = f"at {actual:%H:%M}" if actual.date() == start.date() else f"on {actual:%Y-%m-%d at %H:%M}"
            yield (
                f"On {day} the clocks of {schedule.timezone} jump from {start:%H:%M} to {end:%H:%M}; {hit:%H:%M} "
                f"does not exist that day, the run is expected {where}."
            )
        else:
            first = schedule.next_after(at + jump - timedelta(seconds=1))
            twice = schedule.next_after(first) < at - jump
            yield (
                f"On {day} the clocks of {schedule.timezone} go back from {end:%H:%M} to {start:%H:%M}; {hit:%H:%M} "
                f"comes twice, {'and a run is expected each time' if twice else 'only the first is expected'}."
            )


def clock_changes(zone_name: str, since: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """Yield (time in UTC, offset before, offset after) of a zone's clock changes, to the minute."""
    zone = zone_of(zone_name)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(zone).utcoffset() or timedelta(0)

    day = since.astimezone(UTC).replace(second=0, microsecond=0)
    while day < until:
        after = day + timedelta(days=1)
        if offset(day) != offset(after):
            low, high = day, after
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=int((high - low).total_seconds() // 120))
                low, high = (middle, high) if offset(middle) == offset(day) else (low, middle)
            yield high, offset(day), offset(after)
        day = after


def naive_slots(cron: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the wall-clock times of an expression in [start, end), whatever the zone."""
    base = start - timedelta(minutes=1)
    slots = BaseIterator(_without_zone(cron), base) if is_calendar(cron) else CronSim(cron, base)
    for slot in slots:
        if slot >= end:
            return
        if slot >= start:
            yield slot


def nearest(sorted_times: list[datetime], at: datetime) -> timedelta | None:
    """Return how far `at` lies from the nearest of the times: negative before it, None where there is none."""
    place = bisect_left(sorted_times, at)
    around = sorted_times[max(0, place - 1) : place + 1]
    return min((at - time for time in around), key=abs, default=None)


def gaps(times: list[datetime]) -> list[float]:
    """Return the seconds between neighbours of sorted times."""
    return [(after - before).total_seconds() for before, after in pairwise(times)]


def _without_zone(calendar: str) -> str:
    head, _, last = calendar.rpartition(" ")
    return head if head and (last == "UTC" or "/" in last and ":" not in last and "-" not in last) else calendar


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
