"""The app."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """Servers and their telemetry."""

    name = "apps.fleet"
    label = "fleet"

    def ready(self) -> None:
        from apps.fleet import (  # noqa: F401
            collectors,
            command_keeping,
            events,
            first_start,
            log_retention,
            retention,
            subscribers,
            tasks,
            terminal_keeping,
        )
