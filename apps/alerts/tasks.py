"""The sweep over the latest snapshots, and pruning."""

from datetime import timedelta

from django.utils import timezone

from apps.alerts.models import Alert, Flap, Silence
from apps.alerts.services import (
    begin_and_end,
    end_silent,
    evaluate_thresholds,
    mend_orphans,
    review_due,
    settle_flaps,
)
from apps.alerts.services.receiving import prune_received
from apps.core import runtime_settings
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps

runtime_settings.declare(
    "retention", "alerts", "duration", 730 * 86400, "How long resolved alerts are kept.", least=86400, most=3650 * 86400
)


@sweep("alerts.thresholds", every_s=5)
def sweep_thresholds() -> None:
    """Evaluate the thresholds; one worker a period."""
    evaluate_thresholds()


@sweep("alerts.muted", every_s=1)
def sweep_muted() -> None:
    """Follow silences that began or ended, tell of what is no longer muted, end flaps; one worker a period."""
    begin_and_end()
    review_due(for_s=1.0)  # other sweeps wait
    settle_flaps()


@sweep("alerts.orphans", every_s=60)
def sweep_orphans() -> None:
    """Have alerts looked at again that wait for something which will not come."""
    mend_orphans()


@sweep("alerts.received", every_s=15)
def sweep_received() -> None:
    """Resolve what other systems opened and speak of no more; one worker a period."""
    end_silent()


def prune_alerts(limit: int) -> int:
    """Delete at most `limit` resolved alerts past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.alerts"))
    old = list(
        Alert.objects.filter(opened_at__lt=before, resolved_at__lt=before)
        .order_by("opened_at")
        .values_list("id", flat=True)[:limit]
    )
    Alert.objects.filter(id__in=old).delete()
    return len(old)


keeps.register("alerts", Keep("alerts_alert", "retention.alerts", prune_alerts))


def prune_silences(limit: int) -> int:
    """Delete at most `limit` silences that were over before the keep time of alerts; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.alerts"))
    old = list(Silence.objects.filter(ended_at__lt=before).order_by("id").values_list("id", flat=True)[:limit])
    Silence.objects.filter(id__in=old).delete()
    return len(old)


def prune_flaps(limit: int) -> int:
    """Delete at most `limit` flaps that began before the keep time of alerts and are over; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.alerts"))
    rows = Flap.objects.filter(began_at__lt=before, ended_at__isnull=False).order_by("began_at")
    old = list(rows.values_list("id", flat=True)[:limit])
    Flap.objects.filter(id__in=old).delete()
    return len(old)


def prune_received_alerts(limit: int) -> int:
    """Delete at most `limit` things of other systems, long over, of which nothing is said; returns how many."""
    return prune_received(limit, timezone.now() - timedelta(seconds=runtime_settings.get("retention.alerts")))


keeps.register("received-alerts", Keep("alerts_receivedalert", "retention.alerts", prune_received_alerts))
keeps.register("silences", Keep("alerts_silence", "retention.alerts", prune_silences))
keeps.register("flaps", Keep("alerts_flap", "retention.alerts", prune_flaps))
