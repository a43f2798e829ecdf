"""The app."""

from django.apps import AppConfig


class MonitorsConfig(AppConfig):
    """Monitors."""

    name = "apps.monitors"
    label = "monitors"
