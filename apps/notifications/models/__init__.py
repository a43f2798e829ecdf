"""Tables of the notifications."""

from apps.notifications.models.deliveries import Attempt, Delivery
from apps.notifications.models.destinations import Channel, ChannelState, Mail, Webhook, WebhookState
from apps.notifications.models.inbox import Notification
from apps.notifications.models.rules import Escalation, RoutesVersion, Rule

__all__ = [
    "Attempt",
    "Channel",
    "ChannelState",
    "Delivery",
    "Escalation",
    "Mail",
    "Notification",
    "RoutesVersion",
    "Rule",
    "Webhook",
    "WebhookState",
]
