"""Settings of terminals, how long their recordings are kept, and how other apps name a session."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from apps.core import runtime_settings
from apps.core.registries import Keep, SubjectKind, keeps, subjects
from apps.fleet.models import TerminalSession
from apps.fleet.services.terminals import prune_terminals

DAY_S = 86_400

runtime_settings.declare(
    "terminal",
    "idle",
    "duration",
    1800,
    "A terminal in which nothing was typed for so long is ended.",
    least=60,
    most=DAY_S,
)
runtime_settings.declare(
    "terminal",
    "longest",
    "duration",
    8 * 3600,
    "How long a terminal may be open at all.",
    least=300,
    most=7 * DAY_S,
)
runtime_settings.declare(
    "terminal", "most_per_user", "int", 5, "Terminals that one person may have open.", least=1, most=100
)
runtime_settings.declare(
    "terminal",
    "most_per_process",
    "int",
    40,
    "Terminals that one web process holds open.",
    least=1,
    most=500,
)
runtime_settings.declare(
    "terminal",
    "record_input",
    "bool",
    False,
    "Whether recordings hold what was typed besides what was shown. Passwords are typed: leave it off if you can.",
)
runtime_settings.declare(
    "terminal",
    "recording_mib",
    "int",
    64,
    "How large one recording may grow, in MiB as it is stored; a session that fills it is ended.",
    least=1,
    most=1024,
)
runtime_settings.declare(
    "retention",
    "terminals",
    "duration",
    365 * DAY_S,
    "How long recordings of terminals are kept; the audit trail keeps longer who had one open.",
    least=DAY_S,
    most=3650 * DAY_S,
)


def prune(limit: int) -> int:
    """Delete at most `limit` rows past their keep time; returns how many."""
    return prune_terminals(timezone.now() - timedelta(seconds=runtime_settings.get("retention.terminals")), limit)


def _find(identifier: str) -> str | None:
    try:
        row = TerminalSession.objects.filter(pk=UUID(identifier)).first()
    except ValueError:
        return None
    return str(row) if row else None


keeps.register("terminals", Keep("fleet_terminalsession", "retention.terminals", prune))
subjects.register(
    "terminal", SubjectKind(find=_find, url=lambda identifier: f"/admin/fleet/terminalsession/{identifier}/")
)
