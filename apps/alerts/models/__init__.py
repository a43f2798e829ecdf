"""Tables of the alerts."""

from apps.alerts.models.alerts import Alert
from apps.alerts.models.escalation import EscalationPolicy, EscalationStep, Reminder
from apps.alerts.models.silences import Decision, Flap, Silence
from apps.alerts.models.sources import AlertSource, AlertSourceState, ReceivedAlert
from apps.alerts.models.thresholds import Breach, Threshold

__all__ = [
    "Alert",
    "AlertSource",
    "AlertSourceState",
    "Breach",
    "Decision",
    "EscalationPolicy",
    "EscalationStep",
    "Flap",
    "ReceivedAlert",
    "Reminder",
    "Silence",
    "Threshold",
]
