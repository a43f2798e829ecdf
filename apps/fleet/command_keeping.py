"""How long command runs are kept, and how other apps name SSH connections and runs."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from apps.core import runtime_settings
from apps.core.registries import Keep, SubjectKind, keeps, subjects
from apps.fleet.models import CommandRun, SshConnection
from apps.fleet.services.commands import prune_runs

DAY_S = 86_400

runtime_settings.declare(
    "retention",
    "commands",
    "duration",
    180 * DAY_S,
    "How long the output of commands is kept; the audit trail keeps longer who ran what.",
    least=DAY_S,
    most=3650 * DAY_S,
)


def prune(limit: int) -> int:
    """Delete at most `limit` runs past their keep time; returns how many."""
    return prune_runs(timezone.now() - timedelta(seconds=runtime_settings.get("retention.commands")), limit)


def _subject(model: type[CommandRun] | type[SshConnection], path: str) -> SubjectKind:
    def find(identifier: str) -> str | None:
        try:
            row = model._default_manager.filter(pk=UUID(identifier)).first()
        except ValueError:
            return None
        return str(row) if row else None

    return SubjectKind(find=find, url=lambda identifier: f"/admin/fleet/{path}/{identifier}/")


keeps.register("commands", Keep("fleet_commandrun", "retention.commands", prune))
subjects.register("ssh_connection", _subject(SshConnection, "sshconnection"))
subjects.register("command", _subject(CommandRun, "commandrun"))
