"""Pages of the alerts in the console."""

from apps.alerts.admin import alerts, escalation, panels, silences, thresholds  # noqa: F401
