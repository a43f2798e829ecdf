"""Transitions of alerts and thresholds."""

from apps.alerts.services.alerts import acknowledge_alert, clear_alert, open_alert, resolve_alert
from apps.alerts.services.thresholds import (
    change_config,
    create_threshold,
    delete_threshold,
    evaluate_thresholds,
    update_threshold,
)

__all__ = [
    "acknowledge_alert",
    "change_config",
    "clear_alert",
    "create_threshold",
    "delete_threshold",
    "evaluate_thresholds",
    "open_alert",
    "resolve_alert",
    "update_threshold",
]
