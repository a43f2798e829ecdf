"""Quiet hours of a rule: what is held back at night and told in the morning, if it still matters."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from apps.core.errors import Invalid

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def clean(value: Any) -> dict[str, Any] | None:
    """Check quiet hours: `start`, `end` ("22:00"), `timezone`, `days`, `except_levels`.

    `from` and `to` are accepted for start and end. Without `days` every day counts; without `except_levels` critical
    passes.

    Raises:
        Invalid: a part is wrong (422).
    """
    if value in (None, {}, ""):
        return None
    if not isinstance(value, Mapping):
        raise Invalid({"quiet_hours": "give an object with start, end and timezone"})
    start = _time(value.get("start", value.get("from")), "start")
    end = _time(value.get("end", value.get("to")), "end")
    if start == end:
        raise Invalid({"quiet_hours.end": "must differ from start"})
    zone = value.get("timezone") or "UTC"
    if zone not in available_timezones():
        raise Invalid({"quiet_hours.timezone": f"“{zone}” is not a time zone such as Europe/Berlin"})
    days = value.get("days") or list(DAYS)
    if not isinstance(days, list) or any(day not in DAYS for day in days):
        raise Invalid({"quiet_hours.days": f"give some of {', '.join(DAYS)}"})
    levels = value.get("except_levels", ["critical"])
    if not isinstance(levels, list) or any(level not in ("info", "warning", "critical") for level in levels):
        raise Invalid({"quiet_hours.except_levels": "give some of info, warning, critical"})
    return {"start": start, "end": end, "timezone": zone, "days": days, "except_levels": levels}


def _time(value: Any, field: str) -> str:
    try:
        hour, minute = str(value).split(":")
        return f"{time(int(hour), int(minute)):%H:%M}"
    except ValueError:
        raise Invalid({f"quiet_hours.{field}": "give a time such as 22:00"}) from None


def held_until(hours: Mapping[str, Any] | None, level: str, at: datetime) -> datetime | None:
    """Return when what happens at `at` may be told; None where it may be told at once.

    The wall clock of the zone counts, so that the hours keep their meaning over a change of daylight saving.
    """
    if not hours or level in hours["except_levels"]:
        return None
    zone = ZoneInfo(hours["timezone"])
    local = at.astimezone(zone)
    start, end = (time.fromisoformat(hours[name]) for name in ("start", "end"))
    for day in (local.date() - timedelta(days=1), local.date()):  # hours that began yesterday may still run
        if DAYS[day.weekday()] not in hours["days"]:
            continue
        begins = datetime.combine(day, start)
        ends = datetime.combine(day + timedelta(days=1 if end <= start else 0), end)
        if begins <= local.replace(tzinfo=None) < ends:
            return ends.replace(tzinfo=zone)
    return None
