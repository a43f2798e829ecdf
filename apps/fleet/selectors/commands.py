"""Runs of commands, as the API and the console show them."""

from typing import Any
from uuid import UUID

from apps.core.errors import NotFound
from apps.core.principals import Principal
from apps.fleet.models import CommandRun


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
        "is_binary": row.is_binary,
        "sudo": row.sudo,
        "env_names": row.env_names,
        "timeout_s": row.timeout_s,
        "user": row.user,
        "started_at": _iso(row.started_at),
        "finished_at": _iso(row.finished_at),
        "duration_ms": row.duration_ms,
    }
    if with_output:
        body["output"] = row.output
        body["is_cut"] = is_cut(row)
    return body


def is_cut(row: CommandRun) -> bool:
    """Return whether some of the output was counted and not kept."""
    return row.output_bytes > max(len(row.output.encode("utf-8", "surrogatepass")), len(row.output))


def _iso(moment: Any) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
