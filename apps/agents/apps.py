"""The app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Host agents."""

    name = "apps.agents"
    label = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from apps.agents import events, registrations, settings, tasks  # noqa: F401
        from apps.agents.link import registrations as link  # noqa: F401
