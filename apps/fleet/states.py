"""States of a server, and the moves between them."""

from django.db import models

from apps.core.states import Transitions


class Presence(models.TextChoices):
    """Does the server send samples?"""

    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    UNKNOWN = "unknown", "Unknown"


class Health(models.TextChoices):
    """The worst open alert about the server; unknown before its first sample."""

    HEALTHY = "healthy", "Healthy"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"
    UNKNOWN = "unknown", "Unknown"


PRESENCE = Transitions(
    "server",
    {
        Presence.UNKNOWN: {Presence.ONLINE},
        Presence.ONLINE: {Presence.OFFLINE},
        Presence.OFFLINE: {Presence.ONLINE},
    },
)
