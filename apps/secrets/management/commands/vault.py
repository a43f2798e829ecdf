"""`manage.py vault`: which key opens what, sealing everything anew, the drill."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core import crypto
from apps.core.care.vault import count_by_key
from apps.core.errors import DomainError
from apps.core.principals import system
from apps.secrets.selectors import last_drill
from apps.secrets.services.keys import rekey, replace_key, retire_keys
from apps.secrets.services.vault import drill_vault

ACTOR = system("command line")
TOLD_EVERY_S = 1.0


class Command(BaseCommand):
    """Looks at the vault and changes its key while everything runs. May be interrupted at any moment and run again."""

    help = "Say which vault key opens what; seal everything anew with a new key; try a sample."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Offer four things to do."""
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="which key has sealed how many values, and the last drill")
        status.add_argument("--json", action="store_true", help="print it as JSON")
        again = actions.add_parser("rekey", help="seal everything with the present key; goes on where it was stopped")
        again.add_argument("--new-key", action="store_true", help="make a new key first, where it is kept in a file")
        actions.add_parser("retire", help="remove former keys, once nothing needs them")
        actions.add_parser("drill", help="open a random sample of everything that is sealed, now")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; a refusal is one sentence and exit code 1."""
        try:
            getattr(self, f"_{options['action']}")(options)
        except (crypto.CryptoError, DomainError) as error:
            raise SystemExit(str(error)) from error

    def _status(self, options: dict[str, Any]) -> None:
        counted, drill = count_by_key(), last_drill()
        known = crypto.known_key_ids()
        if options["json"]:
            at = drill.at.isoformat() if drill else None
            facts = {"key": known[0], "former": known[1:], "columns": counted, "last_drill": at}
            self.stdout.write(json.dumps(facts, indent=1))
            return
        self.stdout.write(f"Vault key {known[0]}; former keys that still open values: {', '.join(known[1:]) or 'none'}")
        width = max(map(len, counted))
        for name, keys in counted.items():
            told = ", ".join(f"{number} with {key}{_note(key, known)}" for key, number in sorted(keys.items()))
            self.stdout.write(f"  {name.ljust(width)}  {told or 'empty'}")
        left = sum(number for keys in counted.values() for key, number in keys.items() if key != known[0])
        self.stdout.write(
            f"{left} values are not sealed with the present key; run `manage.py vault rekey`."
            if left
            else "Everything is sealed with the present key."
        )
        if drill is None:
            self.stdout.write("No drill yet.")
        else:
            how = f"{drill.broken} did not open: {drill.told}" if drill.broken else "all of them"
            self.stdout.write(f"Last drill {drill.at:%Y-%m-%d %H:%M} UTC: {drill.opened} opened, {how}.")

    def _rekey(self, options: dict[str, Any]) -> None:
        if options["new_key"]:
            new, former = replace_key(actor=ACTOR)
            self.stdout.write(
                f"New vault key {new}; {former} stays valid beside it. Keep a copy of both files in keys/."
            )
        told_at = 0.0

        def progress(column: str, done: int, total: int) -> None:
            nonlocal told_at
            if done < total and time.monotonic() - told_at < TOLD_EVERY_S:
                return
            told_at = time.monotonic()
            self.stdout.write(f"{done} of {total} ({100 * done // max(1, total)} %), at {column}")
            self.stdout.flush()

        result = rekey(actor=ACTOR, progress=progress)
        for text in result.broken[:20]:
            self.stdout.write(f"Not opened: {text}")
        if result.left:
            raise SystemExit(
                f"{result.done} values were sealed anew; {result.left} could not be: put the key they name into"
                " VAULT_KEYS_OLD, or enter them anew, and run this again."
            )
        self.stdout.write(
            f"{result.done} values were sealed anew; everything has the vault key {crypto.current_key_id()}."
        )
        older = crypto.known_key_ids()[1:]
        if older:
            self.stdout.write(
                f"Former keys: {', '.join(older)}. Backups made until now need them: keep copies, then run"
                " `manage.py vault retire`."
            )
        elif not options["new_key"] and not result.done:
            self.stdout.write("For another key: `manage.py vault rekey --new-key`.")

    def _retire(self, options: dict[str, Any]) -> None:
        gone = retire_keys(actor=ACTOR)
        if gone:
            self.stdout.write(f"Retired: {', '.join(gone)}. Running processes forget them at their next start.")
        else:
            self.stdout.write("There is no former key.")

    def _drill(self, options: dict[str, Any]) -> None:
        drill = drill_vault()
        if drill.broken:
            raise SystemExit(f"{drill.opened} opened, {drill.broken} did not: {drill.told}")
        self.stdout.write(f"{drill.opened} sealed values were tried, all of them open.")


def _note(key: str, known: list[str]) -> str:
    if key == "?":
        return " (damaged)"
    return "" if key in known else " (not configured: they do not open)"
