"""Flap damping: what changes all the time is told once, then when it is stable again."""

from datetime import datetime, timedelta

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


def note_opening(alert: Alert, *, now: datetime) -> Flap | None:
    """Count the opening of an alert that is about to be saved.

    Returns:
        The flap that begins with it; None where none begins, or one runs already.
    """
    most = runtime_settings.get("alerts.flap_flips")
    if not most or _count(alert, now):
        return None
    border = now - timedelta(seconds=runtime_settings.get("alerts.flap_window_s"))
    before = (
        Alert.objects.filter(
            subject_kind=alert.subject_kind, subject_id=alert.subject_id, source=alert.source, kind=alert.kind
        )
        .order_by("-id")
        .values_list("opened_at", "resolved_at")[:most]
    )
    flips = 1 + sum((opened > border) + (resolved is not None and resolved > border) for opened, resolved in before)
    if flips < most:
        return None
    return Flap.objects.create(
        source=alert.source, kind=alert.kind, subject_id=alert.subject_id, began_at=now, flips=flips, last_flip_at=now,
        alert_id=alert.id,
    )  # fmt: skip


def note_end(alert: Alert, *, now: datetime) -> None:
    """Count the end of an alert whose thing flaps."""
    _count(alert, now)


def _count(alert: Alert, now: datetime) -> bool:
    flap = Flap.objects.filter(
        source=alert.source, kind=alert.kind, subject_id=alert.subject_id, ended_at__isnull=True
    ).first()
    if flap is None:
        return False
    flap.flips, flap.last_flip_at = flap.flips + 1, now
    flap.save(update_fields=["flips", "last_flip_at"])
    return True
