"""Runs of commands, as the API and the console show them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from apps.core import files
from apps.core.errors import Conflict, NotFound
from apps.core.principals import Principal
from apps.fleet.commands import KEEP_BYTES
from apps.fleet.models import CommandRun
from apps.fleet.outputs import name_of


def find_run(run_id: UUID | str, principal: Principal) -> CommandRun:
    """Return a run with its output.

    Raises:
        NotFound: there is none, or the caller may not see it (404).
    """
    row: CommandRun | None = CommandRun.objects.visible_to(principal).filter(pk=run_id).first()
    if row is None:
        raise NotFound("There is no such command.")
    return row


def run_list(principal: Principal) -> Any:
    """Return the runs without their output, newest first."""
    return CommandRun.objects.visible_to(principal).defer("output").order_by("-started_at", "-id")


def run_body(row: CommandRun, *, with_output: bool = True) -> dict[str, Any]:
    """Return a run as the API shows it."""
    body: dict[str, Any] = {
        "command_id": str(row.pk),
        "batch_id": str(row.batch_id) if row.batch_id else None,
        "server_id": str(row.server_id) if row.server_id else None,
        "ssh_connection_id": str(row.ssh_connection_id) if row.ssh_connection_id else None,
        "target": row.target,
        "executor": row.executor,
        "command": row.command,
        "status": str(row.status),
        "exit_code": row.exit_code,
        "signal": row.signal,
        "error": row.error,
        "output_bytes": row.output_bytes,
        "kept_bytes": kept_bytes(row),
        "output_note": row.output_note,
        "is_binary": row.is_binary,
        "sudo": row.sudo,
        "env_names": row.env_names,
        "env_secrets": row.env_secrets,
        "timeout_s": row.timeout_s,
        "user": row.user,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "duration_ms": row.duration_ms,
    }
    if with_output:
        body["output"] = row.output
        body["is_cut"] = is_cut(row)
    return body


def output_chunks(row: CommandRun) -> tuple[int, Iterator[bytes]]:
    """Return the bytes of what is kept of a run's output, and the output in chunks.

    Raises:
        Conflict: it lies in the files of another machine (409).
    """
    if not row.file_bytes:
        data = row.output.encode("utf-8", "surrogatepass")
        return len(data), iter([data] if data else [])
    size = files.size_of(name_of(row.pk))
    if size is None:
        raise Conflict(
            "The whole output lies in the files of another machine: DATA_DIR/files has to be shared by all of them. "
            "The first MiB is in the command itself.",
            code="file_elsewhere",
        )
    return size, files.read(name_of(row.pk), most=size)


def kept_bytes(row: CommandRun) -> int:
    """Return how much of the output can be downloaded."""
    return row.file_bytes or min(row.output_bytes, KEEP_BYTES)


def is_cut(row: CommandRun) -> bool:
    """Return whether the row's text lacks some of the output; the file may have it."""
    return row.output_bytes > max(len(row.output.encode("utf-8", "surrogatepass")), len(row.output))


def iso(moment: Any) -> str | None:
    """Return a time as the API shows it."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
