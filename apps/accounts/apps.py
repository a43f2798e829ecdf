"""The app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Accounts."""

    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.accounts import addresses, console, events, first_start, policies, tasks  # noqa: F401

        post_migrate.connect(_sync_roles, sender=self)


def _sync_roles(**_: Any) -> None:
    from apps.accounts.services.roles import sync_roles

    sync_roles()
