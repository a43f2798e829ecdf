"""Tables of the alerts."""

from apps.alerts.models.alerts import Alert
from apps.alerts.models.thresholds import Breach, Threshold

__all__ = ["Alert", "Breach", "Threshold"]
