"""Monitors that nobody has looked at although their time has come. Run by the web processes, never by the worker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.core.conditions import lasting_condition
from apps.core.registries import Overdue
from apps.monitors.connectivity import BLIND
from apps.monitors.models import EndpointState, HeartbeatState, MaintenanceWindow
from apps.monitors.services.heartbeat_sweep import DEAF
from apps.monitors.states import endpoints as endpoint_states
from apps.monitors.states import heartbeats as heartbeat_states

#: How much later than due a check may begin: half of its interval, within these bounds.
LEAST_LATE_S, MOST_LATE_S = 4.0, 60.0
#: How much later than due a heartbeat or a window may be looked at.
LOOK_LATE_S = 10.0
_PORTION = 500
_MOST = 20_000


def overdue_endpoints(now: datetime) -> Overdue | None:
    """Find the endpoints whose check has not begun, or has not ended long after its time-out."""
    late = [at for _, at in _late_endpoints(now)]
    return Overdue(_counted(len(late), "endpoint"), min(late)) if late else None


def mark_endpoints(now: datetime) -> int:
    """Show overdue endpoints as unknown; counts and alerts stay, the next result goes on from them.

    Returns:
        How many were shown otherwise until now.
    """
    late = [num for num, _ in _late_endpoints(now)]
    told = (endpoint_states.UP, endpoint_states.DEGRADED, endpoint_states.DOWN)
    marked = 0
    for start in range(0, len(late), _PORTION):
        # Whoever checked one meanwhile has moved its time on.
        rows = EndpointState.objects.filter(
            num__in=late[start : start + _PORTION], next_check_at__lt=now, status__in=told
        )
        marked += rows.update(
            status=endpoint_states.UNKNOWN,
            since=timezone.now(),
            last_error="The worker has not checked it in time; nothing is known since the last check.",
        )
    return marked


def _late_endpoints(now: datetime) -> Iterator[tuple[int, datetime]]:
    rows = EndpointState.objects.filter(next_check_at__lt=now - timedelta(seconds=LEAST_LATE_S))
    for num, due, lease_until, interval_s, timeout_s in rows.order_by("next_check_at").values_list(
        "num", "next_check_at", "lease_until", "endpoint__interval_s", "endpoint__timeout_s"
    )[:_MOST]:
        allowed = min(MOST_LATE_S, max(LEAST_LATE_S, interval_s / 2))
        if lease_until is not None:  # it is being checked
            allowed += timeout_s
        if due is not None and due + timedelta(seconds=allowed) < now:
            yield num, due


def overdue_heartbeats(now: datetime) -> Overdue | None:
    """Find the heartbeats whose deadline passed without anybody looking; none while we can't judge them."""
    if lasting_condition(BLIND) or lasting_condition(DEAF):
        return None
    rows = HeartbeatState.objects.filter(wake_at__lt=now - timedelta(seconds=LOOK_LATE_S))
    first = rows.order_by("wake_at").values_list("wake_at", flat=True).first()
    return Overdue(_counted(rows.count(), "heartbeat"), first) if first is not None else None


def mark_heartbeats(now: datetime) -> int:
    """Show overdue heartbeats as unknown; what was told as down stays so. Returns how many changed."""
    sentence = f"The worker has not looked at it since {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    told = (heartbeat_states.UP, heartbeat_states.STARTED, heartbeat_states.LATE)
    rows = HeartbeatState.objects.filter(wake_at__lt=now - timedelta(seconds=LOOK_LATE_S), status__in=told)
    marked = 0
    while True:
        with transaction.atomic():
            ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:_PORTION])
            HeartbeatState.objects.filter(pk__in=ids).update(
                status=heartbeat_states.UNKNOWN, since=timezone.now(), fault=sentence
            )
        marked += len(ids)
        if len(ids) < _PORTION:
            return marked


def overdue_windows(now: datetime) -> Overdue | None:
    """Find the maintenance windows that nobody opened or closed."""
    rows = MaintenanceWindow.objects.filter(next_change_at__lt=now - timedelta(seconds=LOOK_LATE_S + 5))
    first = rows.order_by("next_change_at").values_list("next_change_at", flat=True).first()
    return Overdue(_counted(rows.count(), "maintenance window"), first) if first is not None else None


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
