"""The apps as the mail listener loads them: their tables, and of their registrations what a ping touches."""

from importlib import import_module

from django.apps import AppConfig


class Core(AppConfig):
    """The core without its sweeps and tasks."""

    name = "apps.core"
    label = "core"


class Accounts(AppConfig):
    """Accounts with its IP rules."""

    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Register what decides who may speak."""
        import_module("apps.accounts.addresses")


class Monitors(AppConfig):
    """Monitors with the facts that pings tell."""

    name = "apps.monitors"
    label = "monitors"

    def ready(self) -> None:
        """Declare the facts."""
        import_module("apps.monitors.events")
