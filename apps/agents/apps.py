"""The app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Host agents."""

    name = "apps.agents"
    label = "agents"
    verbose_name = "Agents"
