"""Pages of the alerts in the console."""

from apps.alerts.admin import alerts, escalation, panels, thresholds  # noqa: F401
