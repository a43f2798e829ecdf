"""Query parameters that many lists share."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from rest_framework.request import Request

from apps.core.errors import Invalid


def moment(request: Request, name: str) -> datetime | None:
    """Return the time given as `name`: ISO 8601 (UTC where no offset is given), a date, or epoch seconds; None where
    absent.

    Raises:
        Invalid: neither (422).
    """
    text = (request.query_params.get(name) or "").strip()
    if not text:
        return None
    try:
        if text.replace(".", "", 1).isdigit() and len(text) >= 9:
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        parsed = parse_datetime(text.replace(" ", "+")) or parse_datetime(text)
        if parsed is None:
            day = parse_date(text)
            parsed = datetime(day.year, day.month, day.day) if day else None
    except (ValueError, OverflowError):
        parsed = None
    if parsed is None:
        raise Invalid({name: "give a time such as 2026-01-31T10:00:00Z"}, where="query")
    return parsed if timezone.is_aware(parsed) else parsed.replace(tzinfo=UTC)


def period(
    request: Request, *, default: timedelta, names: tuple[str, str] = ("from", "to")
) -> tuple[datetime, datetime]:
    """Return the range asked for; it ends now and lasts `default` where nothing is said.

    Raises:
        Invalid: it ends before it starts (422).
    """
    until = moment(request, names[1]) or timezone.now()
    since = moment(request, names[0]) or until - default
    if since >= until:
        raise Invalid({names[0]: f"must lie before {names[1]}"}, where="query")
    return since, until


def whole_number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number from the query, clamped to `most`.

    Raises:
        Invalid: not a number, or under `least` (422).
    """
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        raise Invalid({name: "give a whole number"}, where="query") from None
    if number < least:
        raise Invalid({name: f"must be at least {least}"}, where="query")
    return min(number, most)


def flag(request: Request, name: str) -> bool:
    """Return whether `name` is set in the query: true or 1, false or 0; false where absent.

    Raises:
        Invalid: anything else (422).
    """
    text = (request.query_params.get(name) or "").strip().lower()
    if text not in ("", "true", "1", "false", "0"):
        raise Invalid({name: "must be true or false"}, where="query")
    return text in ("true", "1")
