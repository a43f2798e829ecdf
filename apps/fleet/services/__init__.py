"""The only code that writes servers and their telemetry."""

from apps.fleet.services.presence import follow_server, mark_silent_servers, note_alert
from apps.fleet.services.rollups import roll_up
from apps.fleet.services.samples import Outcome, Push, accept_samples
from apps.fleet.services.servers import (
    create_server,
    delete_server,
    ensure_local_server,
    note_metrics_exported,
    update_server,
)

__all__ = [
    "Outcome",
    "Push",
    "accept_samples",
    "create_server",
    "delete_server",
    "ensure_local_server",
    "follow_server",
    "mark_silent_servers",
    "note_alert",
    "note_metrics_exported",
    "roll_up",
    "update_server",
]
