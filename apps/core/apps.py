"""The app."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Core of the platform."""

    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        from apps.core import runtime_settings, tasks, watchdog  # noqa: F401
