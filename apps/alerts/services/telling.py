"""What escalation and reminders share: may this alert be told of now, and its facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.alerts.models import Alert
from apps.alerts.services.alerts import facts_of
from apps.alerts.services.verdicts import judge
from apps.alerts.states import ACKNOWLEDGED, RESOLVED
from apps.core.events import Subject, emit
from apps.core.models import Event
from apps.core.principals import system

ACTOR = system("alerts")


def why_over(alert: Alert) -> str:
    """Return why nobody is told of an alert any more; "" while it is open and nobody's."""
    if alert.status == RESOLVED:
        return f"Resolved by {alert.resolved_by}." if alert.resolved_by else "Resolved."
    if alert.status == ACKNOWLEDGED:
        return f"Acknowledged by {alert.acknowledged_by}."
    return ""


def why_held(alert: Alert, now: datetime) -> str:
    """Return why nobody may be told of an alert just now (a silence, maintenance, a known cause); "" otherwise."""
    verdict = judge(alert, now=now)
    return verdict.reason if verdict is not None else ""


def emit_about(name: str, alert: Alert, *, message: str, at: datetime, more: Mapping[str, Any]) -> Event:
    """Emit a fact about an alert with a message of its own."""
    return emit(
        name,
        subject=Subject("alert", str(alert.id), alert.subject_name),
        actor=ACTOR,
        level=alert.level,
        tags=alert.tags,
        server_id=alert.server_id,
        data={**facts_of(alert), "message": message, **more},
        at=at,
    )
