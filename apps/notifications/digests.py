"""Digests: messages that are gathered and told together, every so often or at a time of day."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from apps.core.errors import Invalid
from apps.core.runtime_settings import parse_duration
from apps.notifications.quiet import DAYS, clean_levels, clean_time

LEAST_S, MOST_S = 60, 86400


def clean(value: Any) -> dict[str, Any] | None:
    """Check a digest: `every` ("30m" or seconds), or `at` ("08:00") with `timezone` and `days`; `except_levels`.

    With `at` and without `days` every day counts; one day makes it weekly. Levels in `except_levels` are told at once;
    none where absent.

    Raises:
        Invalid: a part is wrong (422).
    """
    if value in (None, {}, ""):
        return None
    if not isinstance(value, Mapping):
        raise Invalid({"digest": "give an object with every, or with at and timezone"})
    if unknown := sorted(set(value) - {"every", "every_s", "at", "timezone", "days", "except_levels"}):
        raise Invalid({f"digest.{unknown[0]}": "a digest has every, at, timezone, days and except_levels"})
    levels = clean_levels(value.get("except_levels", []), "digest.except_levels")
    every = value.get("every", value.get("every_s"))
    if (every in (None, "")) == (value.get("at") in (None, "")):
        raise Invalid({"digest": "give either every (30m) or at (08:00)"})
    if every not in (None, ""):
        try:
            seconds = int(parse_duration(every))
        except ValueError as error:
            raise Invalid({"digest.every": str(error)}) from error
        if not LEAST_S <= seconds <= MOST_S:
            raise Invalid({"digest.every": "must lie between 1 minute and 1 day"})
        return {"every_s": seconds, "except_levels": levels}
    zone = value.get("timezone") or "UTC"
    if zone not in available_timezones():
        raise Invalid({"digest.timezone": f"“{zone}” is not a time zone such as Europe/Berlin"})
    days = value.get("days") or list(DAYS)
    if not isinstance(days, list) or any(day not in DAYS for day in days):
        raise Invalid({"digest.days": f"give some of {', '.join(DAYS)}"})
    return {"at": clean_time(value["at"], "digest.at"), "timezone": zone, "days": days, "except_levels": levels}


def due_after(digest: Mapping[str, Any] | None, level: str, at: datetime) -> datetime | None:
    """Return when what happens at `at` is told; None where it is told at once.

    Every so often means on the clock (every 30 min: at :00 and :30), so that all that happens between is one digest. A
    time of day that the zone skips is told by the clock before the change, one that comes twice is told the first time.
    """
    if not digest or level in digest["except_levels"]:
        return None
    if "every_s" in digest:
        every = digest["every_s"]
        return datetime.fromtimestamp((at.timestamp() // every + 1) * every, UTC)
    zone = ZoneInfo(digest["timezone"])
    wall = time.fromisoformat(digest["at"])
    today = at.astimezone(zone).date()
    for ahead in range(9):
        day = today + timedelta(days=ahead)
        due = datetime.combine(day, wall, zone)
        if DAYS[day.weekday()] in digest["days"] and due.timestamp() > at.timestamp():
            return datetime.fromtimestamp(due.timestamp(), zone)  # a time that the zone has
    raise AssertionError("a week without any of its days")


def spoken(digest: Mapping[str, Any] | None) -> str:
    """Return the digest in words."""
    if not digest:
        return "each message at once"
    if "every_s" in digest:
        return f"together, every {digest['every_s'] / 60:g} min"
    days = (
        "every day" if len(digest["days"]) == len(DAYS) else "on " + ", ".join(d.capitalize() for d in digest["days"])
    )
    return f"together, {days} at {digest['at']} ({digest['timezone']})"
