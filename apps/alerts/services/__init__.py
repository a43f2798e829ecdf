"""Transitions of alerts and thresholds."""

from apps.alerts.services.alerts import (
    acknowledge_alert,
    clear_alert,
    open_alert,
    resolve_alert,
    unacknowledge_alert,
)
from apps.alerts.services.escalation import create_policy, delete_policy, update_policy
from apps.alerts.services.inbound import receive_post, try_source
from apps.alerts.services.receiving import end_silent, take_batch
from apps.alerts.services.silences import begin_and_end, cancel_silence, create_silence
from apps.alerts.services.sources import create_source, delete_source, rotate_token, update_source
from apps.alerts.services.suppression import mend_orphans, review_all_open, review_due, settle_flaps
from apps.alerts.services.thresholds import (
    change_config,
    create_threshold,
    delete_threshold,
    evaluate_thresholds,
    update_threshold,
)

__all__ = [
    "acknowledge_alert",
    "begin_and_end",
    "cancel_silence",
    "change_config",
    "clear_alert",
    "create_policy",
    "create_silence",
    "create_source",
    "create_threshold",
    "delete_policy",
    "delete_source",
    "delete_threshold",
    "end_silent",
    "evaluate_thresholds",
    "mend_orphans",
    "open_alert",
    "receive_post",
    "resolve_alert",
    "review_all_open",
    "review_due",
    "rotate_token",
    "settle_flaps",
    "take_batch",
    "try_source",
    "unacknowledge_alert",
    "update_policy",
    "update_source",
    "update_threshold",
]
