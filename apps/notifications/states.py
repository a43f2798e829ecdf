"""Transitions of a delivery."""

from apps.core.states import Transitions

DELIVERY = Transitions(
    "delivery",
    {
        "pending": {"delivered", "failed", "suppressed", "bundled"},
        "delivered": set(),
        "failed": set(),
        "suppressed": set(),
        "bundled": set(),
    },
)
