"""What monitors and servers saw, turned into alerts."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.alerts.models import Alert
from apps.alerts.services import clear_alert, open_alert, review_all_open
from apps.alerts.services.reminders import plan_reminder
from apps.alerts.states import ACKNOWLEDGED, ACTIVE
from apps.core.admin.words import exact
from apps.core.events import Subject, reader
from apps.core.models import Event
from apps.core.principals import system

ACTOR = system("alerts")


def _subject(event: Event) -> Subject:
    return Subject(event.subject_kind, event.subject_id, event.subject_name)


def _server_id(event: Event) -> UUID | None:
    value = event.audience.get("server_id")
    return UUID(value) if value else None


def spoken(seconds: float) -> str:
    """Return a duration as people say it: "45 s", "12 min", "3 h 20 min"."""
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(int(whole.total_seconds()), 60)
    if minutes < 2:
        return f"{minutes * 60 + rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@reader("alerts.endpoints", "endpoint.alert", "endpoint.recovery", "endpoint.paused", "endpoint.deleted")
def follow_endpoints(event: Event) -> None:
    """Open, escalate and clear the availability alert of an endpoint. Down and degraded are one alert."""
    if event.name == "endpoint.alert":
        facts = event.data
        # What is degraded without having answered (a group, a domain that ends soon) is not slow.
        word = "down" if facts["status"] == "down" else "slow" if facts["latency_ms"] is not None else "degraded"
        why = facts["last_error"] or (
            f"it answered in {facts['latency_ms']:.0f} ms" if facts["latency_ms"] is not None else ""
        )
        open_alert(
            source="endpoint",
            kind="availability",
            subject=_subject(event),
            level=facts["level"],
            message=f"{facts['name']} is {word}: {why}",
            value=facts["latency_ms"],
            tags=event.tags,
            server_id=_server_id(event),
            evidence={
                key: facts[key]
                for key in ("target", "status", "last_error", "consecutive_failures", "threshold", "since")
            },
            actor=ACTOR,
        )
        return
    notes = {"endpoint.paused": "The monitor was paused.", "endpoint.deleted": "The monitor was removed."}
    note = notes.get(event.name) or f"Recovered after {spoken(event.data['downtime_s'])}."
    clear_alert(source="endpoint", kind="availability", subject_id=event.subject_id, actor=ACTOR, note=note)


@reader("alerts.domains", "domain.expiring")
def follow_domains(event: Event) -> None:
    """Tell once more of a domain whose end comes nearer, where its alert is open and nobody has acknowledged it."""
    alert = Alert.objects.filter(
        source="endpoint", kind="availability", subject_id=event.subject_id, status__in=(ACTIVE, ACKNOWLEDGED)
    ).first()
    if alert is None or event.data["is_first"]:
        return
    facts = event.data
    open_alert(
        source="endpoint",
        kind="availability",
        subject=_subject(event),
        level=event.level,
        message=f"{facts['name']} is degraded: {facts['message']}",
        tags=event.tags,
        actor=ACTOR,
    )
    plan_reminder(alert_id=alert.id, at=event.at, once=True)


@reader("alerts.certificates", "certificate.alert", "certificate.recovery", "endpoint.paused", "endpoint.deleted")
def follow_certificates(event: Event) -> None:
    """Open and clear the alert of a certificate."""
    if event.name == "certificate.alert":
        open_alert(
            source="certificate",
            kind="certificate",
            subject=_subject(event),
            level=event.data["level"],
            message=event.data["message"],
            value=event.data["days_left"],
            tags=event.tags,
            evidence={key: event.data[key] for key in ("hostname", "port", "reason", "days_left", "not_after")},
            actor=ACTOR,
        )
    else:
        note = event.data.get("message", "The monitor was paused or removed.")
        clear_alert(source="certificate", kind="certificate", subject_id=event.subject_id, actor=ACTOR, note=note)


@reader(
    "alerts.heartbeats",
    "heartbeat.deadline_missed",
    "heartbeat.failed",
    "heartbeat.recovered",
    "heartbeat.paused",
    "heartbeat.deleted",
)
def follow_heartbeats(event: Event) -> None:
    """Open and clear the alert of a heartbeat. A missed deadline and a failed run are one alert."""
    if event.name in ("heartbeat.deadline_missed", "heartbeat.failed"):
        open_alert(
            source="heartbeat",
            kind="run",
            subject=_subject(event),
            level="critical",
            message=event.data["message"],
            tags=event.tags,
            evidence={key: value for key, value in event.data.items() if key not in ("heartbeat_id", "message")}
            | {"event": event.name},
            actor=ACTOR,
        )
        return
    notes = {"heartbeat.paused": "The heartbeat was paused.", "heartbeat.deleted": "The heartbeat was removed."}
    note = notes.get(event.name) or f"Recovered after {spoken(event.data['downtime_s'])}."
    clear_alert(source="heartbeat", kind="run", subject_id=event.subject_id, actor=ACTOR, note=note)


@reader("alerts.servers", "server.offline", "server.online", "server.deleted")
def follow_servers(event: Event) -> None:
    """Open and clear the offline alert of a server; a removed server takes all its alerts along."""
    if event.name == "server.offline":
        last_seen = event.data["last_seen"]
        silent_since = exact(parse_datetime(last_seen)) if last_seen else "it was added"
        open_alert(
            source="server",
            kind="offline",
            subject=_subject(event),
            level="critical",
            message=f"{event.data['name']} is offline: silent since {silent_since}",
            server_id=_server_id(event),
            evidence={"last_seen": last_seen},
            tags=event.tags,
            actor=ACTOR,
        )
    elif event.name == "server.online":
        clear_alert(
            source="server", kind="offline", subject_id=event.subject_id, actor=ACTOR, note="The server is back."
        )
    else:
        clear_alert(source="server", kind="", subject_id=event.subject_id, actor=ACTOR, note="The server was removed.")


@reader("alerts.logs", "log.alert", "log.recovery", "server.deleted")
def follow_logs(event: Event) -> None:
    """Open and clear the alert of a log rule on a server: one for each rule and server."""
    facts = event.data
    if event.name == "log.alert":
        lines = "1 line" if facts["matched"] == 1 else f"{facts['matched']} lines"
        open_alert(
            source="log",
            kind=facts["rule_id"],
            subject=_subject(event),
            level=facts["level"],
            message=f"{facts['rule']} on {facts['name']}: {lines}, the last: {facts['line']}",
            value=float(facts["matched"]),
            threshold=float(facts["threshold"]),
            server_id=_server_id(event),
            tags=event.tags,
            evidence={key: facts[key] for key in ("rule", "line", "line_id", "at", "matched", "threshold", "window_s")},
            actor=ACTOR,
        )
    elif event.name == "log.recovery":
        clear_alert(
            source="log", kind=facts["rule_id"], subject_id=event.subject_id, actor=ACTOR, note=facts["message"]
        )
    else:
        clear_alert(source="log", kind="", subject_id=event.subject_id, actor=ACTOR, note="The server was removed.")


@reader("alerts.maintenance", "maintenance.*")
def follow_maintenance(event: Event) -> None:
    """Have the open alerts looked at again when a maintenance window begins, ends or is changed."""
    # A little later: other processes keep their copy of the windows for a second.
    review_all_open(now=timezone.now() + timedelta(seconds=2))
