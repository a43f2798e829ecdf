"""Shapes of the alerts' API."""

from apps.alerts.api.serializers.alerts import AlertDetailSerializer, AlertSerializer, NoteSerializer
from apps.alerts.api.serializers.silences import SilenceSerializer, SilenceWriteSerializer, WhySerializer
from apps.alerts.api.serializers.thresholds import ConfigSerializer, DurationField, ThresholdSerializer

__all__ = [
    "AlertDetailSerializer",
    "AlertSerializer",
    "ConfigSerializer",
    "DurationField",
    "NoteSerializer",
    "SilenceSerializer",
    "SilenceWriteSerializer",
    "ThresholdSerializer",
    "WhySerializer",
]
