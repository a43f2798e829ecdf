"""`manage.py prepare`: make the database ready for this release; the supervisor and the scale layout run it first."""

import gc
import json
import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from apps.core import crypto
from apps.core.models import Canary
from apps.core.registries import preparations

WAIT_S = 30


class Command(BaseCommand):
    """Waits for the database, checks the vault key, migrates, and runs what the apps registered."""

    help = "Make the database ready: wait for it, check the vault key, migrate, create the first admin. Safe to repeat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Accept --json, which is what it always prints."""
        parser.add_argument("--json", action="store_true", help="Print one line of JSON (always the case).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; any refusal is one sentence and exit code 1."""
        gc.freeze()  # each of a hundred tables makes garbage; what was loaded would be walked with it every time
        _await_database()
        try:
            _check_key()
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                call_command("migrate", interactive=False, verbosity=0)
            _keep_canary()
        except crypto.CryptoError as error:
            raise SystemExit(str(error)) from error
        answer: dict[str, Any] = {"ready": True, "admin": None}
        for _, step in preparations.items():
            answer.update(step())
        self.stdout.write(json.dumps(answer))


def _await_database() -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            connection.close()
            if time.monotonic() > end:
                first_line = str(error).strip().partition("\n")[0]
                raise SystemExit(f"The database does not answer ({first_line}); check DATABASE_URL.") from error
            time.sleep(0.5)


def _check_key() -> None:
    crypto.current_key_id()
    if Canary._meta.db_table in connection.introspection.table_names():
        canary = Canary.objects.first()
        if canary is not None:
            crypto.check_canary(canary.token)


def _keep_canary() -> None:
    Canary.objects.get_or_create(id=1, defaults={"token": crypto.make_canary()})
