"""Run commands on machines: a row for each, its output as it comes, and an end even where the process dies."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import files, leases
from apps.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooMany
from apps.core.events import emit
from apps.core.principals import Principal
from apps.fleet.commands import Command
from apps.fleet.executors import Executor, executor_of
from apps.fleet.models import CommandRun, Server, SshConnection
from apps.fleet.outputs import name_of
from apps.fleet.selectors.commands import run_body
from apps.fleet.services.background import BACKGROUND_MOST, follow_in_background, room_in_background
from apps.fleet.services.change_limits import Draw, draw_slots, refuse
from apps.fleet.services.following import (
    HOLDER,
    LEASE_S,
    Following,
    close_alone,
    facts_of,
    finish_runs,
    subject_of,
    tell_batches,
)
from apps.fleet.ssh import Reason
from apps.fleet.states import RUN, RunStatus


class CommandTimedOut(DomainError):
    """504: a command was ended at its time-out; the details hold the run with the output so far."""

    status = 504
    code = "timed_out"


class NotReached(DomainError):
    """502: the machine was not reached, or did not let us in."""

    status = 502
    code = "not_reached"


#: A slot is freed with its run; should nobody do that, so long after the run's time-out.
SLOT_GRACE_S = 600.0


def run_command(
    *,
    actor: Principal,
    executor: Executor,
    command: Command,
    server: Server | None = None,
    ssh_connection: SshConnection | None = None,
) -> CommandRun:
    """Run a command and wait for its end. Not to be called inside a transaction.

    Returns:
        The row: succeeded, failed (another exit code, a signal) or cancelled.

    Raises:
        Invalid: the command is wrong (422).
        Conflict: the machine's host key is not pinned, or has changed, or too much is under change (409).
        NotReached: the machine was not reached, let nobody in, or broke off (502).
        CommandTimedOut: its time was over (504); the details hold the run with the output so far.

    Emits: command.started, command.finished, live command.output.
    """
    row = start_run(actor=actor, executor=executor, command=command, server=server, ssh_connection=ssh_connection)
    following = Following(row, executor, command, actor)
    fault = following.follow()
    close_alone(following)
    if fault is not None and fault.reason in (Reason.HOST_KEY_CHANGED, Reason.HOST_KEY_PENDING):
        raise Conflict(fault.detail, code=str(fault.reason), details={"command_id": str(row.pk)})
    if fault is not None and fault.reason != Reason.CANCELLED:
        raise NotReached(fault.detail, details={"reason": str(fault.reason), "phase": fault.phase, **run_body(row)})
    if row.status == RunStatus.TIMED_OUT:
        raise CommandTimedOut(f"The command was ended after {row.timeout_s:g} s.", details=run_body(row))
    return row


def run_in_background(
    *,
    actor: Principal,
    executor: Executor,
    command: Command,
    server: Server | None = None,
    ssh_connection: SshConnection | None = None,
) -> CommandRun:
    """Start a command and return its row at once.

    Raises:
        Invalid: the command is wrong (422). Conflict: too much is under change (409).
        TooMany: this process runs many already (429).

    Emits: as `run_command`.
    """
    if not room_in_background():
        raise TooMany(f"{BACKGROUND_MOST} commands run at this moment; wait for one to end.", retry_after_s=10)
    row = start_run(actor=actor, executor=executor, command=command, server=server, ssh_connection=ssh_connection)
    # The lease tells everybody else that somebody follows it.
    follow_in_background(Following(row, executor, command, actor))
    return row


def executor_for_server(*, server: Server, actor: Principal) -> Executor:
    """Return how commands reach a server.

    Raises:
        Conflict: no way leads there (409). Forbidden: it is the platform's own host, and the caller may not (403).
    """
    return executor_of(server, actor)


def start_run(
    *,
    actor: Principal,
    executor: Executor,
    command: Command,
    server: Server | None = None,
    ssh_connection: SshConnection | None = None,
) -> CommandRun:
    """Write down that a command is being run, held by this process's lease.

    Raises:
        Invalid: sudo on the platform's own host (422). Conflict: as many servers are under change as may be (409).

    Emits: command.started
    """
    if command.sudo:
        check_sudo({executor.name})
    now = timezone.now()
    row = CommandRun(
        server=server,
        ssh_connection=ssh_connection or (server.ssh_connection if server else None),
        target=(server.name if server else executor.target)[:255],
        executor=executor.name,
        command=command.text,
        env_names=sorted({*command.env, *command.secrets}),
        env_secrets={name: str(key) for name, key in command.secrets.items()},
        has_stdin=bool(command.stdin),
        sudo=command.sudo,
        timeout_s=command.timeout_s,
        user_id=actor.user_id,
        user=actor.name[:150],
        started_at=now,
        lease_owner=leases.owner(),
        lease_until=now + timedelta(seconds=LEASE_S),
    )
    changed = [row.server_id] if row.server_id else []
    if ssh_connection is not None and server is None:
        changed = list(Server.objects.filter(ssh_connection=ssh_connection).values_list("pk", flat=True))
    with transaction.atomic():
        _, refusal = draw_slots([draw_of(row, server_id) for server_id in changed])
        if refusal:
            raise refuse(refusal)
        row.save(force_insert=True)
        emit("command.started", subject=subject_of(row), actor=actor, data=facts_of(row), server_id=row.server_id)
    return row


def draw_of(row: CommandRun, server_id: UUID) -> Draw:
    """Return the wish of a run to change a server."""
    return Draw(server_id, HOLDER, row.pk, f"command of {row.user}", row.timeout_s + SLOT_GRACE_S)


def check_sudo(executors: Collection[str]) -> None:
    """Refuse sudo where it can't work.

    Args:
        executors: names of the ways that lead there.

    Raises:
        Invalid: it works over SSH alone (422).
    """
    if any(name != "ssh" for name in executors):
        raise Invalid({"sudo": "works over SSH alone"})


def cancel_run(*, actor: Principal, run_id: UUID | str) -> CommandRun:
    """Ask for the end of a command; whoever follows it ends it within seconds.

    Raises:
        NotFound: no such run (404). Conflict: it has ended (409).

    Emits: command.cancel_asked

    Source: contract row POST /commands/{id}/cancel.
    """
    with transaction.atomic():
        row = CommandRun.objects.visible_to(actor).select_for_update(of=("self",)).filter(pk=run_id).first()
        if row is None:
            raise NotFound("There is no such command.")
        RUN.check(row.status, RunStatus.CANCELLED)
        if row.executor == "local" and not actor.can("servers:execute_local"):
            raise Forbidden("Commands on the platform's own host need the permission servers:execute_local.")
        if row.cancel_asked_at is None:
            row.cancel_asked_at = timezone.now()
            row.save(update_fields=["cancel_asked_at"])
            emit(
                "command.cancel_asked", subject=subject_of(row), actor=actor, data=facts_of(row),
                server_id=row.server_id,
            )  # fmt: skip
            if row.status == RunStatus.WAITING:  # of a batch: nobody follows it yet
                row.status, row.error = RunStatus.CANCELLED, f"{actor.name} cancelled it before its turn."
                finish_runs([row])
    return row


def end_lost_runs(limit: int = 100) -> int:
    """End runs whose process renewed its lease no more: they are lost, with the output so far.

    Returns:
        How many.

    Emits: command.finished
    """
    gone = CommandRun.objects.filter(status=RunStatus.RUNNING, lease_until__lt=timezone.now())
    ended = 0
    batches: dict[UUID, None] = {}
    for key in list(gone.values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            row = gone.select_for_update(of=("self",)).filter(pk=key).first()
            if row is not None:
                row.status = RunStatus.LOST
                row.error = "The process that followed it is gone. What became of the command is not known."
                row.file_bytes = files.size_of(name_of(row.pk)) or row.file_bytes  # it may have been begun since
                finish_runs([row])
                ended += 1
                if row.batch_id:
                    batches[row.batch_id] = None
    tell_batches(batches)
    return ended
