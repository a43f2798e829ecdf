"""The app."""

from django.apps import AppConfig


class StatusPageConfig(AppConfig):
    """Status pages."""

    name = "apps.statuspage"
    label = "statuspage"

    def ready(self) -> None:
        from apps.statuspage import events, registrations, subscribers, tasks  # noqa: F401
