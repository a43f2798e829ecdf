"""The app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Alerts."""

    name = "apps.alerts"
    label = "alerts"
