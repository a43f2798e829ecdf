"""Heartbeats and pings for tests."""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from apps.core.principals import system
from apps.monitors.models import Badge, Heartbeat, HeartbeatState, PingKey
from apps.monitors.schedules import Schedule
from apps.monitors.services import heartbeats as services
from apps.monitors.services.badges import create_badge
from apps.monitors.services.beat import Beat
from apps.monitors.services.ping_keys import create_ping_key
from apps.monitors.services.pings import Answer, PingRequest, accept_pings
from apps.monitors.states.heartbeats import NEW

_numbers = count(1)


def make_heartbeat(**values: Any) -> Heartbeat:
    """Return a heartbeat; every minute with 30 s grace where nothing else is said."""
    if "cron" not in values:
        values.setdefault("interval_seconds", 60)
    values.setdefault("grace_seconds", 30)
    values.setdefault("name", f"job-{next(_numbers)}")
    return services.create_heartbeat(actor=system("tests"), **values)


def state_of(heartbeat: Heartbeat) -> HeartbeatState:
    """Return the state as the database has it now."""
    return HeartbeatState.objects.get(heartbeat=heartbeat)


def ping(
    heartbeat: Heartbeat | UUID,
    kind: str = "success",
    at: datetime | None = None,
    exit_code: int | None = None,
    **more: Any,
) -> Answer:
    """Send one ping."""
    uuid = heartbeat if isinstance(heartbeat, UUID) else heartbeat.uuid
    return accept_pings([PingRequest(uuid, kind, exit_code, at=at, **more)])[0]


def make_beat(schedule: Schedule, **values: Any) -> Beat:
    """Return a heartbeat in memory that never pinged."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    fields: dict[str, Any] = {
        "uuid": UUID(int=2), "key": UUID(int=1),
        "num": 1, "name": "backup", "schedule": schedule, "grace_seconds": 300, "early_seconds": 0,
        "max_runtime_seconds": None, "resume_on_ping": False, "revision": 1, "config_revision": 1, "status": NEW,
        "since": start, "last_ping_at": None, "next_due_at": None, "deadline": None, "run_deadline": None,
        "wake_at": None, "last_start_at": None, "open_runs": 0, "last_duration_ms": None, "ping_count": 0,
        "last_exit_code": None, "alerting": False, "down_since": None, "missed_until": None,
        "consecutive_failures": 0, "log_minute": 0, "log_count": 0, "day": 0, "day_ok": 0, "day_failed": 0,
        "day_missed": 0,
    }  # fmt: skip
    return Beat(**{**fields, **values})


def make_ping_key(**values: Any) -> PingKey:
    """Return a ping key."""
    values.setdefault("name", f"key-{next(_numbers)}")
    return create_ping_key(actor=system("tests"), **values)


def make_badge(kind: str, subject: str, **values: Any) -> Badge:
    """Return a badge."""
    return create_badge(actor=system("tests"), kind=kind, subject=subject, **values)
