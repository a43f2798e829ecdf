"""The reader that tells people, channels and webhooks."""

from apps.core.events import reader
from apps.core.models import Event
from apps.notifications.services.routing import route, route_many


@reader("notifications.route", "*", many=route_many)
def tell(event: Event) -> None:
    """Write inbox messages and deliveries for a fact."""
    route(event)
