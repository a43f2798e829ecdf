"""The app."""

from django.apps import AppConfig


class ContainersConfig(AppConfig):
    """Containers."""

    name = "apps.containers"
    label = "containers"
    verbose_name = "Containers"

    def ready(self) -> None:
        from apps.containers import events  # noqa: F401
