"""Views of the alerts' API."""

from apps.alerts.api.views.alerts import AlertViewSet
from apps.alerts.api.views.thresholds import AlertConfigView, ThresholdViewSet

__all__ = ["AlertConfigView", "AlertViewSet", "ThresholdViewSet"]
