"""The app."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """Servers and their telemetry."""

    name = "apps.fleet"
    label = "fleet"

    def ready(self) -> None:
        from apps.fleet import collectors, events, retention, subscribers, tasks  # noqa: F401
