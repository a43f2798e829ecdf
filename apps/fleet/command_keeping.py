"""How long command runs are kept, and how other apps name SSH connections and runs."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from apps.core import files, runtime_settings
from apps.core.registries import Keep, SubjectKind, keeps, subjects
from apps.fleet.models import ChangeLimit, CommandBatch, CommandRun, SshConnection
from apps.fleet.outputs import name_of
from apps.fleet.states import BatchStatus, RunStatus

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
runtime_settings.declare(
    "retention",
    "command_files",
    "duration",
    30 * DAY_S,
    "How long output beyond 1 MiB is kept as a file; the first MiB stays as long as the command.",
    least=3600,
    most=3650 * DAY_S,
)


def prune(limit: int) -> int:
    """Delete at most `limit` runs past their keep time, with their files and the batches they leave empty.

    Returns:
        How many runs.
    """
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.commands"))
    old = CommandRun.objects.exclude(status__in=(RunStatus.RUNNING, RunStatus.WAITING)).filter(started_at__lt=before)
    # A batch's turns stay together while one of them is not over.
    old = old.exclude(batch__status=BatchStatus.RUNNING)
    rows = list(old.order_by("started_at").values_list("pk", "batch_id")[:limit])
    for key, _ in rows:
        files.delete(name_of(key))  # also one that its row knows nothing of: its process was killed
    CommandRun.objects.filter(pk__in=[key for key, _ in rows]).delete()
    batches = {batch for _, batch in rows if batch}
    if batches:
        CommandBatch.objects.filter(pk__in=batches, runs__isnull=True).delete()
    return len(rows)


def prune_files(limit: int) -> int:
    """Remove at most `limit` files of output past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.command_files"))
    old = CommandRun.objects.filter(file_bytes__gt=0, finished_at__lt=before)
    keys = list(old.values_list("pk", flat=True)[:limit])
    for key in keys:
        files.delete(name_of(key))
    CommandRun.objects.filter(pk__in=keys).update(
        file_bytes=0, output_note="The file with all of the output was removed when its keep time was over."
    )
    return len(keys)


_Named = type[CommandRun] | type[CommandBatch] | type[ChangeLimit] | type[SshConnection]


def _subject(model: _Named, path: str) -> SubjectKind:
    def find(identifier: str) -> str | None:
        try:
            row = model._default_manager.filter(pk=UUID(identifier)).first()
        except ValueError:
            return None
        return str(row) if row else None

    return SubjectKind(find=find, url=lambda identifier: f"/admin/fleet/{path}/{identifier}/")


keeps.register("commands", Keep("fleet_commandrun", "retention.commands", prune))
keeps.register("command_files", Keep("fleet_commandrun", "retention.command_files", prune_files))
subjects.register("ssh_connection", _subject(SshConnection, "sshconnection"))
subjects.register("command", _subject(CommandRun, "commandrun"))
subjects.register("command_batch", _subject(CommandBatch, "commandbatch"))
subjects.register("change_limit", _subject(ChangeLimit, "changelimit"))
