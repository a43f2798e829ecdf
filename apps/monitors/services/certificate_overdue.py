"""Certificates that nobody has looked at although their time has come. Run by the web processes, not by the worker."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from apps.core.registries import Overdue
from apps.monitors.models import CertificateMonitorState
from apps.monitors.states import certificates as states

#: How much later than due a look may begin: many that are due together wait for each other.
LATE_S = 180.0


def overdue_certificates(now: datetime) -> Overdue | None:
    """Find the certificates that were due and that nobody looked at."""
    rows = _late(now)
    first = rows.order_by("next_check_at").values_list("next_check_at", flat=True).first()
    if first is None:
        return None
    count = rows.count()
    return Overdue(f"{count} certificate{'' if count == 1 else 's'}", first)


def mark_certificates(now: datetime) -> int:
    """Show overdue certificates as unknown; what was told stays told. Returns how many were shown otherwise."""
    return (
        _late(now)
        .exclude(status=states.UNKNOWN)
        .update(
            status=states.UNKNOWN,
            since=timezone.now(),
            last_error="The worker has not looked at it in time; nothing is known since the last check.",
        )
    )


def _late(now: datetime) -> QuerySet[CertificateMonitorState, Any]:
    return CertificateMonitorState.objects.filter(next_check_at__lt=now - timedelta(seconds=LATE_S))
