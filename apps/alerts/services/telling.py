"""What escalation and reminders share: may this alert be told of now, and its facts."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from apps.alerts.models import Alert
from apps.alerts.services.alerts import facts_of
from apps.alerts.services.verdicts import judge
from apps.alerts.states import ACKNOWLEDGED, RESOLVED
from apps.core.events import Subject, emit
from apps.core.models import Event
from apps.core.principals import system
from apps.core.registries import delivery_holds
from apps.notifications.patterns import TOLD_DIRECTLY

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


# --- the moment of sending -----------------------------------------------------------------------------------------

Fact = tuple[str, str, str]


def hold_back(facts: Collection[Fact]) -> Mapping[Fact, str]:
    """Answer which steps and reminders nobody needs any more: the alert is over, or somebody has taken it.

    Asked when a message is about to leave, which may be long after it was queued. Silences are asked for beside it. One
    query for any number of facts.
    """
    asked = [fact for fact in facts if fact[0] in TOLD_DIRECTLY and fact[1] == "alert"]
    if not asked:
        return {}
    alerts = {str(row.id): row for row in Alert.objects.filter(id__in={fact[2] for fact in asked})}
    return {fact: reason for fact in asked if fact[2] in alerts and (reason := why_over(alerts[fact[2]]))}


delivery_holds.register("alerts.escalation", hold_back)
