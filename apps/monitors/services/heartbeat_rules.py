"""What a heartbeat's values must be, and what follows from those that are given."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.core import errors
from apps.monitors.forecasts import Forecast, forecast
from apps.monitors.models.heartbeats import Heartbeat
from apps.monitors.models.ping_keys import PingKey
from apps.monitors.schedules import (
    INTERVAL_LEAST_S,
    INTERVAL_MOST_S,
    Schedule,
    default_early_s,
    default_grace_s,
    is_zone,
    normalised,
    normalised_calendar,
)

GRACE_MOST_S = 366 * 86400
TAGS_MOST = 32
EXPECTED_MOST = 100
KEYWORDS_MOST, KEYWORD_CHARS = 20, 200
SLUG = re.compile(r"^[a-z0-9][a-z0-9._-]{0,99}$")

FIELDS = (
    "name", "description", "interval_seconds", "cron", "timezone", "grace_seconds", "early_seconds",
    "max_runtime_seconds", "resume_on_ping", "slug", "ping_key_id", "expected_pings", "expected_sources",
    "failure_keywords", "success_keywords", "start_keywords", "otherwise",
)  # fmt: skip
SCHEDULE = frozenset(
    {"kind", "interval_seconds", "cron", "timezone", "grace_seconds", "early_seconds", "max_runtime_seconds"}
)
#: One of these says when it is expected; giving one drops the others.
_EMPTY: Mapping[str, Any] = {"interval_seconds": None, "cron": "", "on_calendar": ""}
_KEYWORDS = ("failure_keywords", "success_keywords", "start_keywords")


def merged(heartbeat: Heartbeat, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return all values of a heartbeat with `changes` applied; a new kind of schedule drops the old one.

    Raises:
        Invalid: a value is wrong (422).
    """
    values: dict[str, Any] = {key: getattr(heartbeat, key) for key in FIELDS}
    values["on_calendar"] = ""
    if heartbeat.kind == Heartbeat.CALENDAR:
        values["on_calendar"], values["cron"] = values["cron"], ""
    if any(changes.get(key) for key in _EMPTY):
        values.update(_EMPTY)
    values.update({key: changes[key] for key in (*FIELDS, "on_calendar") if key in changes})
    return cleaned(values)


def cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a heartbeat for the values that are given.

    Raises:
        Invalid: a value is wrong; each fault at its field (422).
    """
    problems: dict[str, str] = {}
    found = dict(values)
    found["name"] = str(found["name"] or "").strip()
    if not 1 <= len(found["name"]) <= 255:
        problems["name"] = "give a name of 1 to 255 characters"
    _clean_schedule(found, problems)
    _clean_rules(found, problems)
    _clean_slug(found, problems)
    if problems:
        raise errors.Invalid(problems)
    _choose(found)
    return found


def preview(values: Mapping[str, Any]) -> tuple[Schedule, Forecast]:
    """Return what a schedule would do that is not saved.

    Raises:
        Invalid: a value is wrong (422).
    """
    found: dict[str, Any] = {
        "interval_seconds": None, "cron": "", "on_calendar": "", "timezone": "UTC", "grace_seconds": None,
        "early_seconds": None, "max_runtime_seconds": None, **values,
    }  # fmt: skip
    problems: dict[str, str] = {}
    _clean_schedule(found, problems)
    if problems:
        raise errors.Invalid(problems)
    _choose(found)
    schedule = Schedule(found["interval_seconds"], found["cron"], found["timezone"])
    return schedule, forecast(
        schedule, now=timezone.now(), grace_seconds=found["grace_seconds"], early_seconds=found["early_seconds"]
    )


def cleaned_tags(tags: Iterable[str]) -> list[str]:
    """Return tags, sorted and each once.

    Raises:
        Invalid: too many, or one too long (422).
    """
    words = sorted({str(tag).strip() for tag in tags})
    if any(not 1 <= len(word) <= 64 for word in words):
        raise errors.Invalid({"tags": "a tag has 1 to 64 characters"})
    if len(words) > TAGS_MOST:
        raise errors.Invalid({"tags": f"give at most {TAGS_MOST} tags"})
    return words


def slug_of(name: str) -> str:
    """Return a name as the last part of an address: "Nightly backup" -> "nightly-backup"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:100].strip("-_") or "job"


def _clean_schedule(found: dict[str, Any], problems: dict[str, str]) -> None:
    found["cron"] = found["cron"] or ""
    calendar = found.pop("on_calendar", "") or ""
    if not is_zone(found["timezone"]):
        problems["timezone"] = f'"{found["timezone"]}" is not an IANA time zone such as Europe/Berlin'
    interval = found["interval_seconds"]
    if (found["cron"] or calendar) and interval is not None:
        problems["interval_seconds"] = "give either an interval or a cron expression, not both"
    elif found["cron"] and calendar:
        problems["on_calendar"] = "give either a cron expression or a calendar, not both"
    elif found["cron"] or calendar:
        try:
            found["cron"] = normalised_calendar(calendar) if calendar else normalised(found["cron"])
        except ValueError as error:
            problems["on_calendar" if calendar else "cron"] = str(error)
        if len(found["cron"]) > 128:
            problems["on_calendar" if calendar else "cron"] = "give at most 128 characters"
    elif interval is None:
        problems["interval_seconds"] = "give an interval, or a cron expression in its place"
    elif not INTERVAL_LEAST_S <= interval <= INTERVAL_MOST_S:
        problems["interval_seconds"] = f"must lie in {INTERVAL_LEAST_S}..{INTERVAL_MOST_S} seconds"
    found["kind"] = Heartbeat.CRON if found["cron"] else Heartbeat.INTERVAL
    if found["cron"] and calendar:
        found["kind"] = Heartbeat.CALENDAR
    for key, least, most in (
        ("grace_seconds", 0, GRACE_MOST_S), ("early_seconds", 0, 86400), ("max_runtime_seconds", 1, GRACE_MOST_S),
    ):  # fmt: skip
        if found[key] is not None and not least <= found[key] <= most:
            problems[key] = f"must lie in {least}..{most} seconds"


def _choose(found: dict[str, Any]) -> None:
    """Fill in grace and early window by the period."""
    period = Schedule(found["interval_seconds"], found["cron"], found["timezone"]).period_s(timezone.now())
    if found["kind"] == Heartbeat.CALENDAR and period < INTERVAL_LEAST_S:
        raise errors.Invalid({"on_calendar": f"must leave {INTERVAL_LEAST_S} seconds between two runs"})
    if found["grace_seconds"] is None:
        found["grace_seconds"] = default_grace_s(period)
    if found["early_seconds"] is None:
        found["early_seconds"] = default_early_s(period) if found["cron"] else 0
    if found["cron"] and found["early_seconds"] >= period:
        raise errors.Invalid({"early_seconds": f"must be shorter than the shortest period, {period} seconds"})


def _clean_rules(found: dict[str, Any], problems: dict[str, str]) -> None:
    sources = list(dict.fromkeys(str(name).strip() for name in found["expected_sources"] or ()))
    count = int(found["expected_pings"] or 0)
    if any(not 1 <= len(name) <= 64 for name in sources):
        problems["expected_sources"] = "a source's name has 1 to 64 characters"
    elif len(sources) > EXPECTED_MOST:
        problems["expected_sources"] = f"give at most {EXPECTED_MOST} sources"
    if sources:
        count = count or len(sources)
        if count < len(sources):
            problems["expected_pings"] = f"must be at least {len(sources)}, one of each source"
    if count < 0 or count > EXPECTED_MOST:
        problems["expected_pings"] = f"must lie in 0..{EXPECTED_MOST}"
    found["expected_pings"], found["expected_sources"] = (0 if count == 1 and not sources else count), sources
    for key in _KEYWORDS:
        found[key] = list(dict.fromkeys(str(word).strip() for word in found[key] or ()))
        if any(not 1 <= len(word) <= KEYWORD_CHARS for word in found[key]):
            problems[key] = f"a keyword has 1 to {KEYWORD_CHARS} characters"
        elif len(found[key]) > KEYWORDS_MOST:
            problems[key] = f"give at most {KEYWORDS_MOST} keywords"
    found["otherwise"] = found["otherwise"] or Heartbeat.AS_SUCCESS
    if found["otherwise"] not in (Heartbeat.AS_SUCCESS, Heartbeat.AS_FAIL, Heartbeat.AS_LOG):
        problems["otherwise"] = "must be one of success, fail, log"
    elif found["otherwise"] != Heartbeat.AS_SUCCESS and not any(found[key] for key in _KEYWORDS):
        problems["otherwise"] = "says what becomes of a body without a keyword; give a keyword first"
    found["has_rules"] = bool(found["expected_pings"] or any(found[key] for key in _KEYWORDS))


def _clean_slug(found: dict[str, Any], problems: dict[str, str]) -> None:
    found["slug"] = str(found["slug"] or "").strip().lower()
    if found["ping_key_id"] is not None:
        try:
            found["ping_key_id"] = UUID(str(found["ping_key_id"]))
        except ValueError:
            problems["ping_key_id"] = "is not an id"
            return
        if not PingKey.objects.filter(id=found["ping_key_id"]).exists():
            problems["ping_key_id"] = "there is no such ping key"
        found["slug"] = found["slug"] or slug_of(found["name"])
    if found["slug"] and not SLUG.match(found["slug"]):
        problems["slug"] = "give up to 100 of a-z, 0-9, point, - and _, a letter or digit first"
