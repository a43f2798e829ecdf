"""What badges show now."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.accounts.hashing import hash_secret
from apps.monitors.badges import CRIT, INFO, OK, QUIET, WARN, Look
from apps.monitors.models import Badge, Endpoint, Heartbeat
from apps.monitors.schedules import duration_words
from apps.monitors.selectors.bars import daily_bars

#: status -> (word, tone), worst first; the order tells what a tag shows.
_WORDS = {
    "down": ("down", CRIT),
    "degraded": ("degraded", WARN),
    "late": ("late", WARN),
    "unknown": ("unknown", QUIET),
    "up": ("up", OK),
    "started": ("running", INFO),
    "new": ("waiting", QUIET),
    "paused": ("paused", QUIET),
}
_GOOD, _FAIR = 99.9, 99.0
#: Things with one tag that one badge sums up.
TAGGED_MOST = 5_000


def badge_of(token: str) -> Badge | None:
    """Return the badge of a token, None where there is none (any more)."""
    found: Badge | None = Badge.objects.filter(digest=hash_secret(token)).first()
    return found


def look_of(badge: Badge, now: datetime | None = None) -> Look | None:
    """Return what a badge says now, None where what it showed is gone. It names nothing but its own label."""
    now = now or timezone.now()
    rows = _rows(badge)
    if not rows and badge.kind != Badge.TAG:
        return None
    if badge.shows == Badge.UPTIME:
        return _uptime(badge, rows, now)
    if badge.shows == Badge.LAST_PING:
        _, status, _, last_ping = rows[0]
        when = "never" if last_ping is None else _ago((now - last_ping).total_seconds())
        return Look(badge.label or "last run", when, _WORDS.get(status, ("", QUIET))[1])
    return _status(badge, Counter(status for _, status, _, _ in rows))


def address_of(badge: Badge, form: str = "svg") -> str:
    """Return the public address of a badge.

    Args:
        form: "svg", "json" or "shields.json".
    """
    return f"{settings.PUBLIC_URL}/badge/{badge.token}.{form}"


def snippets_of(badge: Badge) -> dict[str, str]:
    """Return the texts to copy: markdown, html, shields."""
    url, words = address_of(badge), badge.label or badge.get_shows_words()
    plain = words.replace("[", "").replace("]", "").replace('"', "")
    return {
        "markdown": f"![{plain}]({url})",
        "html": f'<img src="{url}" alt="{plain}" height="20">',
        "shields": f"https://img.shields.io/endpoint?url={address_of(badge, 'shields.json')}",
    }


def badges_of(kind: str, subject: str) -> list[Badge]:
    """Return the badges of one thing, newest first."""
    return list(Badge.objects.filter(kind=kind, subject=subject))


def subject_name(badge: Badge) -> str:
    """Return what it shows as people call it; "" where that is gone."""
    if badge.kind == Badge.TAG:
        return badge.subject
    model: Any = Endpoint if badge.kind == Badge.ENDPOINT else Heartbeat
    return model.objects.filter(pk=badge.subject).values_list("name", flat=True).first() or ""


def _rows(badge: Badge) -> list[tuple[str, str, int, datetime | None]]:
    """Return (kind, status, num, last ping) of all that a badge sums up."""
    wanted: dict[str, Any] = {"tags__name": badge.subject} if badge.kind == Badge.TAG else {"pk": badge.subject}
    found: list[tuple[str, str, int, datetime | None]] = []
    if badge.kind in (Badge.ENDPOINT, Badge.TAG):
        endpoints = Endpoint.objects.filter(**wanted).order_by().values_list("state__status", "num")[:TAGGED_MOST]
        found += [("endpoint", status, num, None) for status, num in endpoints]
    if badge.kind in (Badge.HEARTBEAT, Badge.TAG):
        heartbeats = Heartbeat.objects.filter(**wanted).order_by()
        values = heartbeats.values_list("state__status", "num", "state__last_ping_at")[:TAGGED_MOST]
        found += [("heartbeat", status, num, at) for status, num, at in values]
    return found


def _status(badge: Badge, counted: Counter[str]) -> Look:
    label = badge.label or "status"
    if not counted:
        return Look(label, "no data", QUIET)
    worst = next((status for status in _WORDS if counted[status]), "unknown")
    word, tone = _WORDS[worst]
    total = sum(counted.values())
    if total > 1 and tone in (CRIT, WARN):
        return Look(label, f"{counted[worst]} of {total} {word}", tone)
    return Look(label, word, tone)


def _uptime(badge: Badge, rows: list[tuple[str, str, int, datetime | None]], now: datetime) -> Look:
    label = badge.label or f"uptime {badge.days} d"
    good = counted = 0
    for kind in ("endpoint", "heartbeat"):
        nums = [num for row_kind, _, num, _ in rows if row_kind == kind]
        for bars in (daily_bars(kind, nums, badge.days, now) if nums else {}).values():
            good += sum(bar.up + bar.degraded for bar in bars)
            counted += sum(bar.counted for bar in bars)
    if not counted:
        return Look(label, "no data", QUIET)
    share = 100 * good / counted
    # Never rounded up to a hundred: one failure shows.
    text = "100 %" if good == counted else f"{int(share * 100) / 100:g} %"
    return Look(label, text, OK if share >= _GOOD else WARN if share >= _FAIR else CRIT)


def _ago(seconds: float) -> str:
    if seconds < 60:
        return "just now"
    size = next(size for size in (86_400, 3600, 60) if seconds >= size)
    return f"{duration_words(int(seconds // size * size))} ago"


def moment_of(look: Look) -> dict[str, Any]:
    """Return a badge as plain data."""
    return {"label": look.label, "message": look.message, "tone": look.tone, "at": datetime.now(UTC)}
