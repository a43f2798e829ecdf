"""Sweeps: send what is due, tell again what nobody reacted to; keep times."""

from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from apps.core import bell, leases, runtime_settings
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps
from apps.core.runner import runner
from apps.notifications.models import Attempt, Delivery, Escalation, Mail, Notification
from apps.notifications.services import routing, sending, summaries

LANE, AT_ONCE = "deliveries", 64


@sweep("notifications.deliveries", every_s=1, on_ring=bell.WORK, shared=True)
def send_due() -> None:
    """Claim due deliveries and hand them to the runner."""
    free = runner().free(LANE, AT_ONCE)
    if free:
        for job in sending.claim_due(free):
            runner().submit(LANE, partial(_work, job))


async def _work(job: sending.Job) -> None:
    runner().store(sending.record_results, await sending.send(job))


@sweep("notifications.summaries", every_s=1)
def tell_held() -> None:
    """Tell what waited for quiet hours, a digest or a channel's limit."""
    summaries.tell_held()


@sweep("notifications.escalations", every_s=5, shared=True)
def escalate_due() -> None:
    """Tell channels again of alerts that nobody has acknowledged in time."""
    due = Escalation.objects.filter(due_at__lte=timezone.now()).order_by("due_at")
    for escalation in leases.claim(due, limit=50, owner=leases.owner(), seconds=60):
        with transaction.atomic():
            routing.tell_again(escalation)


runtime_settings.declare(
    "retention", "deliveries", "duration", 30 * 86400, "How long deliveries and their attempts are kept.",
    least=86400, most=3650 * 86400,
)  # fmt: skip
runtime_settings.declare(
    "retention", "notifications", "duration", 90 * 86400, "How long messages stay in the inbox.",
    least=86400, most=3650 * 86400,
)  # fmt: skip


def prune_deliveries(limit: int) -> int:
    """Delete at most `limit` settled deliveries past their keep time, with their attempts; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.deliveries"))
    rows = Delivery.objects.filter(created_at__lt=before, next_attempt_at__isnull=True)
    old = list(rows.order_by("created_at").values_list("id", "kind", "destination_id")[:limit])
    with transaction.atomic():
        ids = [number for number, _, _ in old]
        Attempt.objects.filter(delivery_id__in=ids).delete()
        Delivery.objects.filter(id__in=ids).delete()
        Mail.objects.filter(id__in=[mail for _, kind, mail in old if kind == Delivery.Kind.MAIL]).delete()
    return len(old)


def prune_attempts(limit: int) -> int:
    """Delete at most `limit` attempts past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.deliveries"))
    old = list(Attempt.objects.filter(at__lt=before).order_by("at").values_list("id", flat=True)[:limit])
    Attempt.objects.filter(id__in=old).delete()
    return len(old)


def prune_inbox(limit: int) -> int:
    """Delete at most `limit` inbox messages past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.notifications"))
    old = list(
        Notification.objects.filter(created_at__lt=before).order_by("created_at").values_list("id", flat=True)[:limit]
    )
    Notification.objects.filter(id__in=old).delete()
    return len(old)


keeps.register("deliveries", Keep("notifications_delivery", "retention.deliveries", prune_deliveries))
keeps.register("delivery attempts", Keep("notifications_attempt", "retention.deliveries", prune_attempts))
keeps.register("inbox", Keep("notifications_notification", "retention.notifications", prune_inbox))
