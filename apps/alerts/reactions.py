"""Ladders and reminders follow the alerts: they begin with them and end with them."""

from apps.alerts.models import EscalationPolicy
from apps.alerts.services.ladder import start_ladder, stop_ladder
from apps.alerts.services.reminders import plan_reminder, stop_reminder
from apps.core import runtime_settings
from apps.core.events import reader
from apps.core.models import Event


@reader(
    "alerts.reactions",
    "alert.opened",
    "alert.escalated",
    "alert.acknowledged",
    "alert.unacknowledged",
    "alert.resolved",
)
def follow_alerts(event: Event) -> None:
    """Begin, go on with or end what happens while nobody reacts.

    What got worse counts anew: its ladder begins again if somebody had acknowledged it before. Promptness alone: the
    sweeps read the alert again before they tell anybody.
    """
    if event.name in ("alert.acknowledged", "alert.resolved"):
        who = event.actor_name
        word = "Acknowledged" if event.name == "alert.acknowledged" else "Resolved"
        stop_ladder(alert_id=event.subject_id, reason=f"{word} by {who}.")
        stop_reminder(alert_id=event.subject_id)
        return
    has_ended = event.name == "alert.unacknowledged" and event.actor.get("kind") == "system"
    asked = bool(runtime_settings.get("alerts.remind_every")) or has_ended
    if asked or EscalationPolicy.objects.filter(enabled=True).exists():
        start_ladder(alert_id=event.subject_id, at=event.at)
        plan_reminder(alert_id=event.subject_id, at=event.at, once=has_ended)
