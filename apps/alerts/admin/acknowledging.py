"""Further ways to take an alert: for a while, and giving it back."""

from collections.abc import Callable
from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert
from apps.alerts.states import ACKNOWLEDGED, ACTIVE
from apps.core.admin.access import require
from apps.core.admin.base import Transition

_HOURS = 2


def _for_hours(hours: int) -> Callable[[HttpRequest, Alert, str], str]:
    def acknowledge(request: HttpRequest, row: Alert, note: str) -> str:
        actor = require(request, "alerts:acknowledge")
        until = timezone.now() + timedelta(hours=hours)
        services.acknowledge_alert(alert_id=row.id, actor=actor, note=note, until=until)
        return f"You have taken {row.subject_name} for {hours} h. If it is still open then, everybody is reminded."

    return acknowledge


def _give_back(request: HttpRequest, row: Alert, note: str) -> str:
    services.unacknowledge_alert(alert_id=row.id, actor=require(request, "alerts:acknowledge"), note=note)
    return f"{row.subject_name} is everybody's again; its escalation begins anew."


ACKNOWLEDGE_BUTTONS = (
    Transition(
        "acknowledge_for",
        f"Acknowledge for {_HOURS} h",
        "timer",
        "alerts:acknowledge",
        _for_hours(_HOURS),
        offered=lambda row: row.status == ACTIVE,
        note=True,
        ask=f"Acknowledge this alert for {_HOURS} h? If it is still open then, people are reminded.",
    ),
    Transition(
        "unacknowledge",
        "Give back",
        "undo",
        "alerts:acknowledge",
        _give_back,
        offered=lambda row: row.status == ACKNOWLEDGED,
        note=True,
        ask="Give this alert back? Its escalation begins anew.",
    ),
)
