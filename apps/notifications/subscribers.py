"""The reader that tells people, channels and webhooks."""

from apps.core.events import reader
from apps.core.models import Event
from apps.notifications.services.routing import route


@reader("notifications.route", "*")
def tell(event: Event) -> None:
    """Write inbox messages and deliveries for a fact."""
    route(event)
