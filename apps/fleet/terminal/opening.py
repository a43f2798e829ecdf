"""Open a terminal on a server, and the terminals that this process holds."""

import threading
import time
from uuid import UUID

from apps.core import runtime_settings
from apps.core.errors import Conflict, DomainError, Forbidden, TooMany, Unavailable
from apps.core.principals import Principal
from apps.fleet.commands import Cancelled
from apps.fleet.executors import Executor, executor_of
from apps.fleet.models import Server, TerminalSession
from apps.fleet.selectors import find_server
from apps.fleet.services.commands import NotReached
from apps.fleet.services.ssh_keys import note_fault
from apps.fleet.services.terminals import begin_terminal, finish_terminal
from apps.fleet.ssh import Reason, SshFault
from apps.fleet.states import TerminalStatus
from apps.fleet.terminal.casts import CastFile
from apps.fleet.terminal.live import Limits, Live
from apps.fleet.terminal.shells import Size

_lock = threading.Lock()
_live: dict[UUID, Live] = {}
_opening = 0


def check_rights(actor: Principal, *, is_local: bool) -> None:
    """Refuse who may not sit at a terminal.

    Raises:
        Forbidden: which permission is missing (403).
    """
    for code in ("servers:terminal", *(("servers:execute_local",) if is_local else ())):
        if actor.bound_kind or not actor.can(code):
            raise Forbidden(f"A terminal needs the permission {code}.")


def open_terminal(
    *,
    actor: Principal,
    server_ref: str,
    size: Size,
    address: str = "",
    user_agent: str = "",
    cancelled: Cancelled = lambda: False,
) -> Live:
    """Open a shell on a server and record it from its first byte on. Blocks; not to be called inside a transaction.

    Args:
        cancelled: asked while it connects; true gives up.

    Raises:
        Forbidden: the caller may not (403). NotFound: no such server (404).
        Conflict: no way leads there, or its host key is not pinned or has changed (409).
        TooMany: the caller, or this process, has too many open (429).
        NotReached: the machine was not reached or opened no shell (502).
        Unavailable: it can't be recorded (503).

    Emits: terminal.opened; terminal.closed where it fails.

    Source: contract row WS /ws/servers/{id}/terminal.
    """
    global _opening
    check_rights(actor, is_local=False)
    server = find_server(server_ref, actor)
    executor = executor_of(server, actor)
    check_rights(actor, is_local=executor.name == "local")
    with _lock:
        if len(_live) + _opening >= runtime_settings.get("terminal.most_per_process"):
            raise TooMany("Too many terminals are open here; close one, or try again later.", retry_after_s=30)
        _opening += 1
    try:
        row = begin_terminal(
            actor=actor, server=server, executor=executor.name, size=size, address=address, user_agent=user_agent
        )
        live = _opened(actor, server, executor, row, size, cancelled)
        with _lock:
            _live[live.id] = live
        live.start()
        return live
    finally:
        with _lock:
            _opening -= 1


def _opened(
    actor: Principal, server: Server, executor: Executor, row: TerminalSession, size: Size, cancelled: Cancelled
) -> Live:
    def failed(reason: str, status: str = TerminalStatus.FAILED) -> None:
        finish_terminal(row=row, status=status, reason=reason)

    try:
        file = CastFile(row.file_name)
    except OSError as error:
        reason = f"It can't be recorded ({error.strerror}); without a recording no terminal is opened."
        failed(reason)
        raise Unavailable(reason) from error
    try:
        shell = executor.shell(size, cancelled=cancelled)
    except SshFault as fault:
        file.close()
        note_fault(fault)
        if fault.reason == Reason.CANCELLED:
            failed("It was closed before the shell was there.", TerminalStatus.CLOSED)
        else:
            failed(fault.detail)
        if fault.reason in (Reason.HOST_KEY_CHANGED, Reason.HOST_KEY_PENDING):
            raise Conflict(fault.detail, code=str(fault.reason)) from fault
        raise NotReached(fault.detail, details={"reason": str(fault.reason), "phase": fault.phase}) from fault
    except DomainError as error:
        file.close()
        failed(str(error))
        raise
    except OSError as error:
        file.close()
        failed(f"No terminal could be made here ({error.strerror}).")
        raise NotReached(f"No terminal could be made on {server.name} ({error.strerror}).") from error
    except BaseException:
        file.close()
        failed("It could not be opened.")
        raise
    return Live(row, shell, file, Limits.now(), on_over=_forget)


def find_live(session_id: UUID) -> Live | None:
    """Return a terminal that this process holds."""
    with _lock:
        return _live.get(session_id)


def _forget(live: Live) -> None:
    with _lock:
        _live.pop(live.id, None)


def stop_all(wait_s: float = 3.0) -> None:
    """End all that this process holds, because it ends itself."""
    with _lock:
        held = list(_live.values())
    for live in held:
        live.end(TerminalStatus.LOST, "Watchkeeper was started anew, which ended the shell.")
    until = time.monotonic() + wait_s
    for live in held:
        live.over.wait(max(0.0, until - time.monotonic()))
