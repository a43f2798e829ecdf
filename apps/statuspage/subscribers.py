"""What happened to the things behind components, turned into statuses."""

from apps.core.events import reader
from apps.core.models import Event
from apps.statuspage.models import Component
from apps.statuspage.services import refresh_components

#: Above this many components the sweep does it, a few seconds later.
AT_ONCE = 200


@reader(
    "statuspage.things",
    "endpoint.alert",
    "endpoint.recovery",
    "endpoint.paused",
    "endpoint.resumed",
    "endpoint.deleted",
    "heartbeat.deadline_missed",
    "heartbeat.failed",
    "heartbeat.recovered",
    "heartbeat.paused",
    "heartbeat.resumed",
    "heartbeat.deleted",
    "server.online",
    "server.offline",
    "server.deleted",
    "certificate.alert",
    "certificate.recovery",
    "certificate.deleted",
)
def follow_things(event: Event) -> None:
    """Work out anew the components that stand for the thing."""
    rows = Component.objects.filter(source=event.subject_kind, source_id=event.subject_id)
    ids = list(rows.values_list("id", flat=True)[:AT_ONCE])
    if ids:
        refresh_components(ids)


@reader("statuspage.maintenance", "maintenance.*")
def follow_maintenance(event: Event) -> None:
    """Work out all components anew when a maintenance window opens, closes or changes."""
    if Component.objects.count() <= AT_ONCE:
        refresh_components()
