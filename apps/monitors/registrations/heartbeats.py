"""Heartbeats in the core's registries: what they are called, how long their logs are kept, figures, health."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.registries import Health, Keep, SubjectKind, health_parts, keeps, metric_collectors, subjects
from apps.monitors.models import Heartbeat, HeartbeatDay, HeartbeatState, Ping, Run
from apps.monitors.services.heartbeat_retention import prune_days, prune_pings, prune_runs
from apps.monitors.states.heartbeats import DOWN, LATE, STARTED, STATUSES, UP

DAY_S = 86_400
BEHIND_S = 60

# --- keeping -----------------------------------------------------------------------------------------------------
for _key, _model, _prune, _days, _telemetry, _what in (
    ("pings", Ping, prune_pings, 30, True, "logged pings and their bodies"),
    ("runs", Run, prune_runs, 90, True, "runs of heartbeats"),
    ("heartbeat_days", HeartbeatDay, prune_days, 730, False, "daily figures of heartbeats"),
):
    _setting = runtime_settings.declare(
        "retention", _key, "duration", _days * DAY_S, f"How long {_what} are kept.", least=DAY_S, most=3650 * DAY_S
    )
    keeps.register(
        _key, Keep(_model._meta.db_table, _setting.name, partial(_prune, _setting.name), telemetry=_telemetry)
    )


# --- subjects ----------------------------------------------------------------------------------------------------
def _name(pk: str) -> str | None:
    try:
        return Heartbeat.objects.filter(pk=UUID(pk)).values_list("name", flat=True).first()
    except ValueError:
        return None


subjects.register("heartbeat", SubjectKind(find=_name, url=lambda pk: f"/admin/monitors/heartbeat/{pk}/"))


# --- health ------------------------------------------------------------------------------------------------------
def _health() -> Health:
    behind = HeartbeatState.objects.filter(wake_at__lt=timezone.now() - timedelta(seconds=BEHIND_S)).count()
    if behind:
        return Health("degraded", f"{behind} heartbeats fell due more than {BEHIND_S} s ago and were not looked at.")
    return Health("ok", "Every heartbeat is looked at in time.")


health_parts.register("heartbeats", _health)


# --- figures -----------------------------------------------------------------------------------------------------
def _metrics(per_object: bool) -> Iterator[Any]:
    counted = dict(HeartbeatState.objects.values_list("status").annotate(count=Count("pk")).order_by())
    yield (
        "watchkeeper_heartbeats",
        "gauge",
        "Heartbeats by status.",
        [({"status": status}, counted.get(status, 0)) for status in STATUSES],
    )
    if not per_object:
        return
    rows = HeartbeatState.objects.order_by("heartbeat__num").values_list(
        "heartbeat_id", "heartbeat__name", "status", "last_ping_at", "ping_count", "last_duration_ms"
    )
    labelled = [({"heartbeat_id": str(row[0]), "name": row[1]}, *row[2:]) for row in rows]
    told = {UP: 1, STARTED: 1, LATE: 1, DOWN: 0}
    yield (
        "watchkeeper_heartbeat_up",
        "gauge",
        "1 where the job is in time or only late, 0 where it is down; absent where new or paused.",
        [(labels, told[status]) for labels, status, *_ in labelled if status in told],
    )
    yield (
        "watchkeeper_heartbeat_pings_total",
        "counter",
        "Pings ever accepted.",
        [(labels, count) for labels, _, _, count, _ in labelled],
    )
    yield (
        "watchkeeper_heartbeat_last_ping_timestamp_seconds",
        "gauge",
        "When the job reported last.",
        [(labels, at.timestamp()) for labels, _, at, *_ in labelled if at is not None],
    )
    yield (
        "watchkeeper_heartbeat_run_seconds",
        "gauge",
        "How long the last finished run took.",
        [(labels, duration / 1000) for labels, *_, duration in labelled if duration is not None],
    )


metric_collectors.register("heartbeats", _metrics)
