"""The app."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """Realtime."""

    name = "apps.realtime"
    label = "realtime"
