"""The console in the place of Django's admin."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with the console's site as the default one."""

    default_site = "apps.core.admin.site.ConsoleSite"
