"""Sweeps of ladders, reminders and acknowledgements that end; how long settled steps are kept."""

from datetime import timedelta

from django.utils import timezone

from apps.alerts.models import EscalationStep
from apps.alerts.services.ladder import climb_ladders
from apps.alerts.services.reminders import end_acknowledgements, send_reminders
from apps.core import runtime_settings
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps

runtime_settings.declare(
    "alerts",
    "remind_every",
    "duration",
    0,
    "How often an open alert that nobody has acknowledged is told of again, where no escalation policy says otherwise; "
    "0 for never.",
    least=0,
    most=30 * 86400,
)


@sweep("alerts.escalation", every_s=3, shared=True)
def sweep_ladders() -> None:
    """Tell the steps that are due."""
    climb_ladders()


@sweep("alerts.reminders", every_s=5, shared=True)
def sweep_reminders() -> None:
    """Give back acknowledgements whose time is over, and remind."""
    end_acknowledgements()
    send_reminders()


def prune_steps(limit: int) -> int:
    """Delete at most `limit` settled steps past the keep time of deliveries; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.deliveries"))
    rows = EscalationStep.objects.filter(settled_at__lt=before).order_by("settled_at")
    old = list(rows.values_list("id", flat=True)[:limit])
    EscalationStep.objects.filter(id__in=old).delete()
    return len(old)


keeps.register("escalation steps", Keep("alerts_escalationstep", "retention.deliveries", prune_steps))
