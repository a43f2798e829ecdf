"""Pages of the alerts in the console."""

from apps.alerts.admin import alerts, escalation, panels, rehearsal, silences, sources, thresholds  # noqa: F401
