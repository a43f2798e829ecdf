"""Terminal sessions, as the API and the console show them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from apps.core import files
from apps.core.errors import NotFound
from apps.core.principals import Principal
from apps.fleet.models import TerminalSession
from apps.fleet.terminal.casts import read_cast


def terminal_list(principal: Principal) -> Any:
    """Return the sessions that the caller may see, newest first."""
    return TerminalSession.objects.visible_to(principal).order_by("-started_at", "-id")


def find_terminal(session_id: UUID | str, principal: Principal) -> TerminalSession:
    """Return a session.

    Raises:
        NotFound: there is none, or the caller may not see it (404).
    """
    row: TerminalSession | None = TerminalSession.objects.visible_to(principal).filter(pk=session_id).first()
    if row is None:
        raise NotFound("There is no such terminal session.")
    return row


def has_recording(row: TerminalSession) -> bool:
    """Return whether the recording of a session is kept."""
    return bool(files.size_of(row.file_name))


def recording_of(row: TerminalSession) -> Iterator[bytes]:
    """Yield the recording of a session as an asciicast v2; of one that is open, what is written so far.

    Raises:
        NotFound: it is not kept (404); raised by the call itself.
    """
    try:
        return read_cast(row.file_name)
    except FileNotFoundError:
        raise NotFound("There is no recording of this session, or it is not kept on this machine.") from None


def terminal_body(row: TerminalSession) -> dict[str, Any]:
    """Return a session as the API shows it."""
    return {
        "id": str(row.pk),
        "server_id": str(row.server_id) if row.server_id else None,
        "ssh_connection_id": str(row.ssh_connection_id) if row.ssh_connection_id else None,
        "target": row.target,
        "executor": row.executor,
        "user": row.user,
        "address": row.address,
        "user_agent": row.user_agent,
        "status": str(row.status),
        "reason": row.reason,
        "exit_code": row.exit_code,
        "signal": row.signal,
        "has_input": row.has_input,
        "input_bytes": row.input_bytes,
        "output_bytes": row.output_bytes,
        "recording_bytes": row.recording_bytes,
        "started_at": _iso(row.started_at),
        "finished_at": _iso(row.finished_at),
        "duration_ms": row.duration_ms,
        "end_asked_by": row.end_asked_by,
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
