"""`manage.py doctor`: how the installation is, in plain sentences."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core.care.doctor import FAILED, FINE, NOTICE, examine

MARKS = {FINE: "ok    ", NOTICE: "note  ", FAILED: "FAILED"}


class Command(BaseCommand):
    """Examines the installation; may be run while Watchkeeper runs or not, and changes nothing."""

    help = "Look at everything the installation stands on; exit code 1 where something is broken."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Offer JSON for programs."""
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings; exit code 1 where one failed."""
        findings = examine()
        broken = [one for one in findings if one.status == FAILED]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not broken, "findings": [asdict(one) for one in findings]}, indent=1))
        else:
            width = max(len(one.check) for one in findings)
            for one in findings:
                self.stdout.write(f"{MARKS[one.status]}  {one.check.ljust(width)}  {one.sentence}")
            self.stdout.write("")
            verdict = f"{len(broken)} of {len(findings)} things need you." if broken else "All is well."
            self.stdout.write(verdict)
        if broken:
            raise SystemExit(1)
