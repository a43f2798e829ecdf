"""`manage.py import-monitors`: monitors of other tools, from their files."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import DomainError
from apps.core.imports import EXISTS, IMPOSSIBLE, NEW, SourceFile
from apps.core.principals import system
from apps.monitors.importers import importers
from apps.monitors.services.imports import import_monitors, sentence_of

MARKS = {NEW: "new     ", EXISTS: "exists  ", IMPOSSIBLE: "can't   "}


class Command(BaseCommand):
    """Makes endpoints, heartbeats and maintenance windows of what another tool's files say."""

    help = "Import monitors; --dry-run tells what would be made. A second time makes nothing twice."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the format, the files and whether to make anything."""
        known = ", ".join(f"{name} ({one.label})" for name, one in importers.items())
        parser.add_argument("format", choices=list(importers), metavar="FORMAT", help=known)
        parser.add_argument("files", nargs="+", metavar="FILE", help="- reads the standard input")
        parser.add_argument("--dry-run", action="store_true", help="make nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each thing, and what to put into the jobs."""
        files = [SourceFile(Path(name).name, self._read(name)) for name in options["files"]]
        try:
            report = import_monitors(
                actor=system("import"), format=options["format"], files=files, dry_run=options["dry_run"]
            )
        except DomainError as error:
            raise CommandError(sentence_of(error)) from error
        for item in report.items:
            self.stdout.write(f"{MARKS[item.outcome]} {item.kind} “{item.name}” ({item.place}) {item.summary}".rstrip())
            for line in [item.reason, *item.notes] if item.outcome != EXISTS else []:
                if line:
                    self.stdout.write(f"           {line}")
            for line in item.snippet.splitlines():
                self.stdout.write(f"           > {line}")
        counts = report.counts()
        verb = "would be made" if report.dry_run else "made"
        self.stdout.write(
            f"\n{counts[NEW]} {verb}, {counts[EXISTS]} there already, {counts[IMPOSSIBLE]} can't be made."
        )

    @staticmethod
    def _read(name: str) -> str:
        try:
            return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        except OSError as error:
            raise CommandError(f"{name} can't be read: {error.strerror}.") from error
        except UnicodeDecodeError:
            raise CommandError(f"{name} is no text in UTF-8.") from None
