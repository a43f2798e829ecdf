"""What the fleet reads of the others' facts."""

from apps.core.events import reader
from apps.core.models import Event
from apps.fleet.services.presence import note_alert


@reader("fleet.health", "alert.opened", "alert.escalated", "alert.acknowledged", "alert.resolved")
def follow_alerts(event: Event) -> None:
    """Keep each server's health at the worst level of its open alerts."""
    data = event.data
    if data.get("server_id"):
        note_alert(
            server_id=data["server_id"],
            alert_id=str(data["alert_id"]),
            level=str(data["level"]),
            is_open=event.name != "alert.resolved",
        )
