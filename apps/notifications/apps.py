"""The app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Notifications."""

    name = "apps.notifications"
    label = "notifications"

    def ready(self) -> None:
        from apps.notifications import checks, events, subscribers, tasks, transports  # noqa: F401
