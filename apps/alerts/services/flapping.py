"""Flap damping: what changes all the time is told once, then when it is stable again."""

from datetime import datetime, timedelta

from django.db.models import F

from apps.alerts.models import Alert, Flap
from apps.core import runtime_settings

runtime_settings.declare(
    "alerts", "flap_flips", "int", 10,
    "So many changes (opened, resolved) within the flap window make a thing flap; 0 switches the damping off.",
    least=0, most=1000,
)  # fmt: skip
runtime_settings.declare(
    "alerts", "flap_window_s", "duration", 600, "The flap window: how far back changes are counted.",
    least=10, most=86400,
)  # fmt: skip
runtime_settings.declare(
    "alerts", "flap_stable_s", "duration", 600, "How long a thing that flaps must not change before it is told again.",
    least=10, most=86400,
)  # fmt: skip


def running_flap(alert: Alert) -> Flap | None:
    """Return the flap of an alert's thing, None where it is calm."""
    return Flap.objects.filter(
        source=alert.source, kind=alert.kind, subject_id=alert.subject_id, ended_at__isnull=True
    ).first()


def note_opening(alert: Alert, *, last: Alert | None, now: datetime) -> tuple[Flap | None, bool]:
    """Count the opening of an alert that is about to be saved.

    Args:
        last: the alert of the same thing that ended last. Without one, or after a calm time, nothing is asked.

    Returns:
        The flap that runs now, and whether it begins with this alert.
    """
    most = runtime_settings.get("alerts.flap_flips")
    window = timedelta(seconds=runtime_settings.get("alerts.flap_window_s"))
    stable = timedelta(seconds=runtime_settings.get("alerts.flap_stable_s"))
    # A flap that has been stable for longer waits for its sweep; an hour is far more than that takes.
    if last is None or last.resolved_at is None or last.resolved_at < now - max(window, stable) - timedelta(hours=1):
        return None, False
    flap = running_flap(alert)
    if flap is not None:
        flap.flips, flap.last_flip_at = flap.flips + 1, now
        flap.save(update_fields=["flips", "last_flip_at"])
        return flap, False
    if not most:
        return None, False
    before = (
        Alert.objects.filter(
            subject_kind=alert.subject_kind, subject_id=alert.subject_id, source=alert.source, kind=alert.kind
        )
        .order_by("-id")
        .values_list("opened_at", "resolved_at")[:most]
    )
    border = now - window
    flips = 1 + sum((opened > border) + (resolved is not None and resolved > border) for opened, resolved in before)
    if flips < most:
        return None, False
    flap = Flap.objects.create(
        source=alert.source,
        kind=alert.kind,
        subject_id=alert.subject_id,
        began_at=now,
        flips=flips,
        last_flip_at=now,
        alert_id=alert.id,
    )
    return flap, True


def note_end(alert: Alert, *, now: datetime) -> None:
    """Count the end of an alert whose thing flaps."""
    Flap.objects.filter(
        source=alert.source, kind=alert.kind, subject_id=alert.subject_id, ended_at__isnull=True
    ).update(flips=F("flips") + 1, last_flip_at=now)
