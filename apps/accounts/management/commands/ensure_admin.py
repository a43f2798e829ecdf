"""`manage.py ensure_admin`: create the first admin."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.first_start import ensure_admin
from apps.accounts.services.roles import sync_roles


class Command(BaseCommand):
    """Creates the first admin where there is no user at all."""

    help = (
        "Create the first admin from ADMIN_USERNAME, ADMIN_PASSWORD, ADMIN_EMAIL; does nothing where there is any user."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line of JSON; a generated password is in it, this once."""
        sync_roles()
        self.stdout.write(json.dumps({"admin": ensure_admin()}))
