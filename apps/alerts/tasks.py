"""The sweep over the latest snapshots, and pruning."""

from datetime import timedelta

from django.utils import timezone

from apps.alerts.models import Alert
from apps.alerts.services import evaluate_thresholds
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
