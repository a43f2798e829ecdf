"""Reads: lists of alerts, the six limits, counts."""

from datetime import datetime
from typing import Any

from django.db.models import Count

from apps.alerts.models import Alert, Threshold
from apps.alerts.querysets import AlertQuerySet
from apps.alerts.services.thresholds import CONFIG_LEVELS, CONFIG_METRICS
from apps.core.principals import Principal


def alerts(
    principal: Principal,
    *,
    status: str = "",
    level: str = "",
    kind: str = "",
    server_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> AlertQuerySet:
    """Return the alerts the caller may see, newest first, filtered.

    Args:
        kind: type such as "disk" or "availability".
        since, until: by the time of opening.
    """
    rows: AlertQuerySet = Alert.objects.visible_to(principal)
    if status:
        rows = rows.filter(status=status)
    if level:
        rows = rows.filter(level=level)
    if kind:
        rows = rows.of_type(kind)
    if server_id:
        rows = rows.filter(server_id=server_id)
    if since:
        rows = rows.filter(opened_at__gte=since)
    if until:
        rows = rows.filter(opened_at__lt=until)
    return rows


def open_alerts(principal: Principal) -> AlertQuerySet:
    """Return the unresolved alerts the caller may see, newest first."""
    return Alert.objects.visible_to(principal).unresolved()


def open_counts(principal: Principal) -> dict[str, int]:
    """Return how many alerts are open, by level."""
    rows = open_alerts(principal).order_by().values_list("level").annotate(Count("id"))
    return dict(rows)


def config() -> dict[str, dict[str, float | None]]:
    """Return the six global limits: {"cpu": {"warning": 80.0, "critical":
    95.0}, ...}; None where one was removed or disabled.
    """
    rows: dict[tuple[str, str], float] = {
        (row.metric, row.level): row.value
        for row in Threshold.objects.filter(server__isnull=True, enabled=True, metric__in=CONFIG_METRICS)
    }
    return {metric: {level: rows.get((metric, level)) for level in CONFIG_LEVELS} for metric in CONFIG_METRICS}


def metrics(per_object: bool) -> Any:
    """Yield the open alerts by level for the Prometheus exposition."""
    counts = dict(Alert.objects.unresolved().order_by().values_list("level").annotate(Count("id")))
    yield (
        "watchkeeper_alerts_open",
        "gauge",
        "Open alerts.",
        [({"level": level}, counts.get(level, 0)) for level in ("info", "warning", "critical")],
    )
