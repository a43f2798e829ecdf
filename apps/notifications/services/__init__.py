"""Everything that changes notifications; API, console, sweeps and readers call these."""

from apps.notifications.services.channels import create_channel, delete_channel, update_channel
from apps.notifications.services.deliveries import redeliver
from apps.notifications.services.inbox import mark_all_read, mark_read
from apps.notifications.services.mail import queue_mail
from apps.notifications.services.rules import (
    check_event,
    create_rule,
    delete_rule,
    detach_rule,
    proposed_route,
    update_rule,
)
from apps.notifications.services.targets import check_target
from apps.notifications.services.trial import TrialResult, try_channel, try_webhook
from apps.notifications.services.webhooks import create_webhook, delete_webhook, update_webhook

__all__ = [
    "TrialResult",
    "check_event",
    "check_target",
    "create_channel",
    "create_rule",
    "create_webhook",
    "delete_channel",
    "delete_rule",
    "delete_webhook",
    "detach_rule",
    "mark_all_read",
    "mark_read",
    "proposed_route",
    "queue_mail",
    "redeliver",
    "try_channel",
    "try_webhook",
    "update_channel",
    "update_rule",
    "update_webhook",
]
