"""Is a server there, how is it, and does somebody look at it."""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.events import emit
from apps.core.principals import system
from apps.fleet import retention
from apps.fleet.models import ServerState
from apps.fleet.services.servers import facts_of, subject_of
from apps.fleet.states import PRESENCE, Health, Presence

SWEEP_ROWS = 200
_RANK = {"info": 0, "warning": 1, "critical": 2}


def come_online(state: ServerState, *, now: datetime) -> None:
    """Note that a server sent a sample after a silence, or its first one. The caller has locked and saves the state.

    Emits: server.online
    """
    PRESENCE.check(state.status, Presence.ONLINE)
    state.status, state.offline_since = Presence.ONLINE, None
    emit(
        "server.online",
        subject=subject_of(state.server),
        actor=system("fleet"),
        data={**facts_of(state.server), "last_seen": now.isoformat()},
        server_id=state.server_id,
    )


def mark_silent_servers(*, now: datetime | None = None, but: QuerySet[ServerState] | None = None) -> int:
    """Mark servers offline that have been silent for three intervals, at least 60 s.

    Args:
        but: states that are left alone.

    Returns:
        How many were marked; call again while it is `SWEEP_ROWS`.

    Emits: server.offline, one a server.
    """
    now = now or timezone.now()
    border = now - timedelta(seconds=retention.silent_after_s())
    silent = ServerState.objects.filter(status=Presence.ONLINE, last_seen_at__lt=border)
    if but is not None:
        silent = silent.exclude(pk__in=but.values("pk"))
    ids = list(silent.order_by("last_seen_at").values_list("pk", flat=True)[:SWEEP_ROWS])
    if not ids:
        return 0
    with transaction.atomic():
        # Read again under the lock: a sample may have come in between.
        rows = list(
            ServerState.objects.select_for_update(of=("self",))
            .select_related("server")
            .filter(pk__in=ids, status=Presence.ONLINE, last_seen_at__lt=border)
            .order_by("server__num")
        )
        for state in rows:
            PRESENCE.check(state.status, Presence.OFFLINE)
            state.status, state.offline_since = Presence.OFFLINE, now
            state.save(update_fields=["status", "offline_since"])
            emit(
                "server.offline",
                subject=subject_of(state.server),
                actor=system("fleet"),
                level="critical",
                data={
                    **facts_of(state.server),
                    "last_seen": state.last_seen_at.isoformat() if state.last_seen_at else None,
                },
                server_id=state.server_id,
            )
    return len(ids)


def note_alert(*, server_id: UUID | str, alert_id: str, level: str, is_open: bool) -> None:
    """Follow the alerts about a server; its health is the worst level of those that are open."""
    with transaction.atomic():
        state = ServerState.objects.select_for_update().filter(server_id=server_id).first()
        if state is None:
            return
        alerts: dict[str, Any] = dict(state.open_alerts)
        if is_open:
            alerts[alert_id] = level
        else:
            alerts.pop(alert_id, None)
        state.open_alerts = alerts
        state.health_status = health_of(state)
        state.save(update_fields=["open_alerts", "health_status"])


def health_of(state: ServerState) -> str:
    """Return the worst level of the open alerts about a server."""
    worst = max((_RANK.get(level, 0) for level in state.open_alerts.values()), default=0)
    if worst:
        return Health.CRITICAL if worst == 2 else Health.WARNING
    return Health.UNKNOWN if state.sample_at is None else Health.HEALTHY


def follow_server(*, server_id: UUID | str, seconds: float = 60) -> None:
    """Have the server's whole snapshots published live for a while, because somebody follows them.

    Call it again before the time is over. It writes at most once in half of `seconds`.
    """
    now_ms = time.time_ns() // 1_000_000
    until = now_ms + int(seconds * 1000)
    ServerState.objects.filter(server_id=server_id, followed_until__lt=now_ms + int(seconds * 500)).update(
        followed_until=until
    )
