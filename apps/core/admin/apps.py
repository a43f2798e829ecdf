"""The console in the place of Django's admin."""

from importlib import import_module
from importlib.util import find_spec

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with the console's site as the default one."""

    default_site = "apps.core.admin.site.ConsoleSite"

    def ready(self) -> None:
        """Load every app's admin, then the pages of the core itself, which is no app of its own in the admin's eyes."""
        super().ready()
        from django.contrib import admin  # the registry exists only now

        from apps.core.admin.base import ConsoleAdmin

        # What installed packages register by themselves (groups, devices) would go around our codes and services.
        for model, registered in list(admin.site._registry.items()):
            if not isinstance(registered, ConsoleAdmin):
                admin.site.unregister(model)
        for module in ("audit", "overview", "settings_page"):
            if find_spec(f"apps.core.admin.{module}"):
                import_module(f"apps.core.admin.{module}")
