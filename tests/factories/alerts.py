"""Alerts and what leads to them, for tests."""

from typing import Any

from apps.alerts import services
from apps.alerts.models import Alert
from apps.core.events import Subject, emit
from apps.core.events.readers import dispatch_all
from apps.core.events.sequencer import sequence_events
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Server


def make_alert(
    level: str = "warning", *, kind: str = "availability", source: str = "endpoint", subject_id: str = "", **values: Any
) -> Alert:
    """Return an open alert."""
    return services.open_alert(
        source=source,
        kind=kind,
        subject=Subject(source, subject_id or str(new_id()), values.pop("name", "shop")),
        level=level,
        message=values.pop("message", "shop is down"),
        actor=system("test"),
        **values,
    )


def endpoint_alert(endpoint_id: str, *, status: str = "down", name: str = "shop") -> Event:
    """Emit what the monitors say of an endpoint that went down or got slow."""
    return emit(
        "endpoint.alert",
        subject=Subject("endpoint", endpoint_id, name),
        actor=system("monitors"),
        level="critical",
        data={
            "endpoint_id": endpoint_id,
            "name": name,
            "target": "http://127.0.0.1:9/",
            "status": status,
            "level": "critical" if status == "down" else "warning",
            "consecutive_failures": 1,
            "threshold": 1,
            "last_error": "connection refused" if status == "down" else "",
            "since": "2026-01-01T00:00:00+00:00",
            "latency_ms": None if status == "down" else 900.0,
        },
    )


def endpoint_recovery(endpoint_id: str, *, name: str = "shop") -> Event:
    """Emit what the monitors say of an endpoint that is well again."""
    return emit(
        "endpoint.recovery",
        subject=Subject("endpoint", endpoint_id, name),
        actor=system("monitors"),
        data={
            "endpoint_id": endpoint_id,
            "name": name,
            "target": "http://127.0.0.1:9/",
            "status": "up",
            "downtime_s": 12.0,
            "since": "2026-01-01T00:00:12+00:00",
            "latency_ms": 12.0,
        },
    )


def run_spine() -> None:
    """Number what was emitted and let every reader catch up."""
    while sequence_events() or dispatch_all():
        pass


def server_offline(server: Server) -> Event:
    """Emit what the fleet says of a server that fell silent."""
    return _presence("server.offline", server, "critical")


def server_online(server: Server) -> Event:
    """Emit what the fleet says of a server that is back."""
    return _presence("server.online", server, "info")


def _presence(name: str, server: Server, level: str) -> Event:
    return emit(
        name,
        subject=Subject("server", str(server.id), server.name),
        actor=system("fleet"),
        level=level,
        server_id=server.id,
        data={
            "server_id": str(server.id),
            "slug": server.slug,
            "name": server.name,
            "last_seen": "2026-01-01T00:00:00+00:00",
        },
    )
