"""Quiet hours of a rule: what is held back at night and told in the morning, if it still matters."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from apps.core.errors import Invalid
from apps.core.events.catalogue import LEVELS

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def clean(value: Any, *, field: str = "quiet_hours") -> dict[str, Any] | None:
    """Check quiet hours: `start`, `end` ("22:00"), `timezone`, `days`, `except_levels`.

    `from` and `to` are accepted for start and end. Without `days` every day counts; without `except_levels` critical
    passes.

    Raises:
        Invalid: a part is wrong (422).
    """
    if value in (None, {}, ""):
        return None
    if not isinstance(value, Mapping):
        raise Invalid({field: "give an object with start, end and timezone"})
    start = clean_time(value.get("start", value.get("from")), f"{field}.start")
    end = clean_time(value.get("end", value.get("to")), f"{field}.end")
    if start == end:
        raise Invalid({f"{field}.end": "must differ from start"})
    zone = value.get("timezone") or "UTC"
    if zone not in available_timezones():
        raise Invalid({f"{field}.timezone": f"“{zone}” is not a time zone such as Europe/Berlin"})
    days = value.get("days") or list(DAYS)
    if not isinstance(days, list) or any(day not in DAYS for day in days):
        raise Invalid({f"{field}.days": f"give some of {', '.join(DAYS)}"})
    levels = clean_levels(value.get("except_levels", ["critical"]), f"{field}.except_levels")
    return {"start": start, "end": end, "timezone": zone, "days": days, "except_levels": levels}


def clean_hours(value: Any) -> dict[str, Any] | None:
    """Check the hours in which a rule counts: `start`, `end`, `timezone`, `days`.

    Raises:
        Invalid: a part is wrong (422).
    """
    if isinstance(value, Mapping) and value:
        value = {**value, "except_levels": []}
    hours = clean(value, field="hours")
    return hours and {name: part for name, part in hours.items() if name != "except_levels"}


def clean_levels(value: Any, field: str) -> list[str]:
    """Return levels.

    Raises:
        Invalid: not a list of levels (422).
    """
    if not isinstance(value, list) or any(level not in LEVELS for level in value):
        raise Invalid({field: f"give some of {', '.join(LEVELS)}"})
    return list(value)


def clean_time(value: Any, field: str) -> str:
    """Return a time of day as "22:00".

    Raises:
        Invalid: it is none (422).
    """
    try:
        hour, minute = str(value).split(":")
        return f"{time(int(hour), int(minute)):%H:%M}"
    except ValueError:
        raise Invalid({field: "give a time such as 22:00"}) from None


def held_until(hours: Mapping[str, Any] | None, level: str, at: datetime) -> datetime | None:
    """Return when what happens at `at` may be told; None where it may be told at once.

    The wall clock of the zone counts, so that the hours keep their meaning over a change of daylight saving.
    """
    if not hours or level in hours["except_levels"]:
        return None
    return _end_of(hours, at)


def is_within(hours: Mapping[str, Any] | None, at: datetime) -> bool:
    """Return whether `at` lies in the hours; always where there are none."""
    return not hours or _end_of(hours, at) is not None


def _end_of(hours: Mapping[str, Any], at: datetime) -> datetime | None:
    zone = ZoneInfo(hours["timezone"])
    local = at.astimezone(zone)
    start, end = (time.fromisoformat(hours[name]) for name in ("start", "end"))
    for day in (local.date() - timedelta(days=1), local.date()):  # hours that began yesterday may still run
        if DAYS[day.weekday()] not in hours["days"]:
            continue
        begins = datetime.combine(day, start)
        ends = datetime.combine(day + timedelta(days=1 if end <= start else 0), end)
        if begins <= local.replace(tzinfo=None) < ends:
            return datetime.fromtimestamp(ends.replace(tzinfo=zone).timestamp(), zone)  # a time that the zone has
    return None
