"""The app."""

from django.apps import AppConfig


class MonitorsConfig(AppConfig):
    """Endpoint checks and heartbeats."""

    name = "apps.monitors"
    label = "monitors"

    def ready(self) -> None:
        from apps.monitors import checks, events, registrations, tasks  # noqa: F401
