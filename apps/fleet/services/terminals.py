"""The rows of terminal sessions: one for each shell, and an end in every case."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import files, leases, runtime_settings
from apps.core.errors import NotFound, TooMany
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.core.rows import storable
from apps.fleet.commands import ERROR_MOST, SIGNAL_MOST
from apps.fleet.models import Server, TerminalSession
from apps.fleet.states import TERMINAL, TerminalStatus
from apps.fleet.terminal.shells import Size

#: A session whose process renewed nothing for so long is lost.
LEASE_S = 20.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the row of an open session says to whoever holds the shell.

    Args:
        ended_by: the admin who wants it to end; "" for nobody.
        is_gone: the session is over already, or its server or way was removed.
    """

    ended_by: str = ""
    is_gone: bool = False


def begin_terminal(
    *, actor: Principal, server: Server, executor: str, size: Size, address: str = "", user_agent: str = ""
) -> TerminalSession:
    """Write down that somebody opens a terminal, held by this process's lease.

    Raises:
        TooMany: the person has as many open as are allowed (429).

    Emits: terminal.opened
    """
    now = timezone.now()
    most = runtime_settings.get("terminal.most_per_user")
    row = TerminalSession(
        server=server,
        ssh_connection=server.ssh_connection,
        target=server.name[:255],
        executor=executor,
        user_id=actor.user_id,
        user=actor.name[:150],
        address=address[:64],
        user_agent=user_agent[:300],
        cols=size.cols,
        rows=size.rows,
        has_input=runtime_settings.get("terminal.record_input"),
        started_at=now,
        lease_owner=leases.owner(),
        lease_until=now + timedelta(seconds=LEASE_S),
    )
    with transaction.atomic():
        mine = TerminalSession.objects.filter(status=TerminalStatus.OPEN, lease_until__gt=now, user_id=actor.user_id)
        if mine.count() >= most:
            raise TooMany(
                f"You have {most} terminals open, which is as many as are allowed; close one of them.",
                retry_after_s=30,
                code="too_many_terminals",
            )
        row.save(force_insert=True)
        emit("terminal.opened", subject=subject_of(row), actor=actor, data=facts_of(row), server_id=row.server_id)
    return row


def renew_terminal(*, row: TerminalSession, output_bytes: int, input_bytes: int, recording_bytes: int) -> bool:
    """Renew the lease of an open session and bring its figures up to date.

    Returns:
        Whether it is still open.
    """
    row.output_bytes, row.input_bytes, row.recording_bytes = output_bytes, input_bytes, recording_bytes
    changed = TerminalSession.objects.filter(pk=row.pk, status=TerminalStatus.OPEN).update(
        output_bytes=output_bytes,
        input_bytes=input_bytes,
        recording_bytes=recording_bytes,
        lease_until=timezone.now() + timedelta(seconds=LEASE_S),
    )
    return bool(changed)


def look_at_terminal(*, row: TerminalSession) -> Wish:
    """Return what the row says now."""
    found = TerminalSession.objects.filter(pk=row.pk, status=TerminalStatus.OPEN)
    asked = found.values_list("end_asked_by", "end_asked_at", "server_id", "ssh_connection_id").first()
    if asked is None:
        return Wish(is_gone=True)
    ended_by, at, server_id, connection_id = asked
    removed = server_id is None or connection_id != row.ssh_connection_id
    return Wish(ended_by=(ended_by or "an admin") if at else "", is_gone=removed)


def finish_terminal(
    *, row: TerminalSession, status: str, reason: str, exit_code: int | None = None, signal: str = ""
) -> TerminalSession:
    """Write down how a session ended, with the figures of `row`; one that is over already stays as it is.

    Emits: terminal.closed
    """
    with transaction.atomic():
        now = TerminalSession.objects.select_for_update(of=("self",)).filter(pk=row.pk).first()
        if now is None:
            return row
        if now.status != TerminalStatus.OPEN:
            return now
        now.exit_code, now.signal = exit_code, storable(signal)[:SIGNAL_MOST]
        now.output_bytes, now.input_bytes, now.recording_bytes = row.output_bytes, row.input_bytes, row.recording_bytes
        _finish(now, status, storable(reason)[:ERROR_MOST])
        return now


def end_terminal(*, actor: Principal, session_id: UUID | str) -> TerminalSession:
    """Ask for the end of an open session; the process that holds its shell ends it within seconds.

    Raises:
        NotFound: no such session (404). Conflict: it is over (409).

    Emits: terminal.end_asked
    """
    with transaction.atomic():
        rows = TerminalSession.objects.visible_to(actor).select_for_update(of=("self",))
        row: TerminalSession | None = rows.filter(pk=session_id).first()
        if row is None:
            raise NotFound("There is no such terminal session.")
        TERMINAL.check(row.status, TerminalStatus.KICKED)
        if row.end_asked_at is None:
            row.end_asked_at, row.end_asked_by = timezone.now(), actor.name[:150]
            row.save(update_fields=["end_asked_at", "end_asked_by"])
            emit(
                "terminal.end_asked", subject=subject_of(row), actor=actor, data=facts_of(row), server_id=row.server_id
            )
    return row


def end_lost_terminals(limit: int = 100) -> int:
    """End sessions whose process renewed its lease no more; their recordings end where it did.

    Returns:
        How many.

    Emits: terminal.closed
    """
    gone = TerminalSession.objects.filter(status=TerminalStatus.OPEN, lease_until__lt=timezone.now())
    ended = 0
    for key in list(gone.values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            row = gone.select_for_update(of=("self",)).filter(pk=key).first()
            if row is not None:
                _finish(row, TerminalStatus.LOST, "The process that held the shell is gone, and the shell with it.")
                ended += 1
    return ended


def note_replay(*, actor: Principal, row: TerminalSession) -> None:
    """Write down that somebody looked at a recording.

    Emits: terminal.replayed
    """
    with transaction.atomic():
        emit("terminal.replayed", subject=subject_of(row), actor=actor, data=facts_of(row), server_id=row.server_id)


def prune_terminals(before: Any, limit: int) -> int:
    """Delete at most `limit` ended sessions that began before a time, with their recordings; returns how many."""
    old = TerminalSession.objects.exclude(status=TerminalStatus.OPEN).filter(started_at__lt=before)
    rows = list(old.order_by("started_at").only("pk")[:limit])
    for row in rows:
        files.delete(row.file_name)  # the file first: what is left of a prune that was killed is found again
    TerminalSession.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def subject_of(row: TerminalSession) -> Subject:
    """Return a session as the subject of facts."""
    return Subject("terminal", str(row.pk), str(row))


def facts_of(row: TerminalSession) -> dict[str, Any]:
    """Return what all facts about a session say."""
    return {
        "terminal_id": str(row.pk),
        "server_id": str(row.server_id) if row.server_id else None,
        "target": row.target,
        "executor": row.executor,
        "by": row.user,
        "address": row.address,
    }


def _finish(row: TerminalSession, status: str, reason: str) -> None:
    row.status, row.reason = status, reason
    row.finished_at, row.lease_until, row.lease_owner = timezone.now(), None, ""
    row.duration_ms = round((row.finished_at - row.started_at).total_seconds() * 1000, 1)
    row.save()
    emit(
        "terminal.closed",
        subject=subject_of(row),
        actor=system("terminals"),
        level="info" if status in (TerminalStatus.ENDED, TerminalStatus.CLOSED) else "warning",
        data={
            **facts_of(row),
            "status": str(status),
            "reason": reason,
            "exit_code": row.exit_code,
            "signal": row.signal,
            "duration_ms": row.duration_ms,
            "output_bytes": row.output_bytes,
            "input_bytes": row.input_bytes,
        },
        server_id=row.server_id,
    )
