"""`manage.py restore FILE`: put a backup in the place of what is there."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core.care.refusal import CareRefused
from apps.core.services.restore import restore_backup


class Command(BaseCommand):
    """Restores a backup, whole or not at all."""

    help = "Load the backup FILE into the configured database (SQLite or PostgreSQL). Watchkeeper must not run."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file and whether data may be replaced."""
        parser.add_argument("file", type=Path, metavar="FILE", help="a file that `manage.py backup` wrote")
        parser.add_argument(
            "--force",
            action="store_true",
            help="replace the data that is there; it is backed up into DATA_DIR/backups first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; a refusal is one sentence and exit code 1."""
        try:
            manifest = restore_backup(file=options["file"], force=options["force"], say=self.stdout.write)
        except CareRefused as error:
            raise SystemExit(str(error)) from error
        self.stdout.write(f"Restored {manifest.rows} rows of {len(manifest.parts)} tables. Everybody signs in again.")
        self.stdout.write("Start Watchkeeper with: make run")
