"""States of an alert and the moves between them."""

from apps.core.states import Transitions

ACTIVE = "active"
ACKNOWLEDGED = "acknowledged"
RESOLVED = "resolved"

STATUSES = (ACTIVE, ACKNOWLEDGED, RESOLVED)
LEVELS = ("info", "warning", "critical")
RANK = {level: rank for rank, level in enumerate(LEVELS)}

ALERT = Transitions(
    "alert",
    {
        ACTIVE: {ACKNOWLEDGED, RESOLVED},
        # Acknowledged again: somebody else takes it over, with a note of their own.
        ACKNOWLEDGED: {ACKNOWLEDGED, ACTIVE, RESOLVED},
        RESOLVED: set(),
    },
)
