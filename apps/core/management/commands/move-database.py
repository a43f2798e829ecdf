"""`manage.py move-database URL`: copy everything into another, empty database."""

import shlex
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.core.care.refusal import CareRefused
from apps.core.services.move import move_database


class Command(BaseCommand):
    """Copies everything and says which setting makes the copy the one in use."""

    help = "Copy everything into the empty database at URL (SQLite to PostgreSQL or back). Watchkeeper must not run."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address."""
        parser.add_argument("url", metavar="URL", help="postgres://USER:PASSWORD@HOST:5432/NAME or sqlite:///PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; a refusal is one sentence and exit code 1."""
        url: str = options["url"]
        try:
            move_database(url=url, say=self.stdout.write)
        except CareRefused as error:
            raise SystemExit(str(error)) from error
        self.stdout.write(
            "The present database stays as it is. To use the new one, put this into .env and start again:"
        )
        self.stdout.write(f"  DATABASE_URL={shlex.quote(url)}")
        keys = Path(settings.DATA_DIR) / "keys"
        if url.startswith("postgres") and (keys / "vault_key").exists():
            # PostgreSQL may serve several machines, so the keys of one folder are not taken by themselves.
            self.stdout.write(f"  SECRET_KEY_FILE={shlex.quote(str(keys / 'secret_key'))}")
            self.stdout.write(f"  VAULT_KEY_FILE={shlex.quote(str(keys / 'vault_key'))}")
