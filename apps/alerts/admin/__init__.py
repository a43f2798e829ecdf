"""Pages of the alerts in the console."""

from apps.alerts.admin import alerts, escalation, panels, rehearsal, silences, thresholds  # noqa: F401
