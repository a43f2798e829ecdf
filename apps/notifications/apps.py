"""The app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Notifications."""

    name = "apps.notifications"
    label = "notifications"
