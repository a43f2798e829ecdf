"""`manage.py backup FILE`: all data but the keys in one file, while everything goes on."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.core.care.refusal import CareRefused
from apps.core.services.backup import create_backup


class Command(BaseCommand):
    """Writes a backup and says what is in it and what is not."""

    help = "Write all data but the keys into FILE; Watchkeeper may go on running."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to write, for example watchkeeper.backup")
        parser.add_argument("--force", action="store_true", help="replace FILE where it exists")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; a refusal is one sentence and exit code 1."""
        file: Path = options["file"]
        if file.exists() and not options["force"]:
            raise SystemExit(f"{file} exists; choose another name, or give --force to replace it.")
        try:
            manifest = create_backup(file=file)
        except CareRefused as error:
            raise SystemExit(str(error)) from error
        size = file.stat().st_size / 1e6
        self.stdout.write(f"{file}: {manifest.rows} rows of {len(manifest.parts)} tables, {size:.1f} MB.")
        where = Path(settings.DATA_DIR) / "keys" / "vault_key"
        place = f" ({where})" if where.exists() else ""
        self.stdout.write(
            f"The keys are not in it. Keep the vault key {', '.join(manifest.key_ids) or 'of this installation'}{place}"
            " somewhere else: without it no secret in this backup can be read."
        )
