"""Run commands on machines: a row for each, its output as it comes, and an end even where the process dies."""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.core import leases
from apps.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooMany
from apps.core.events import Subject, emit, publish_live
from apps.core.principals import Principal, system
from apps.core.runner import runner
from apps.fleet.commands import Command, Outcome, Output
from apps.fleet.executors import Executor, executor_of
from apps.fleet.models import CommandRun, Server, SshConnection
from apps.fleet.selectors.commands import run_body
from apps.fleet.services.ssh_keys import note_fault
from apps.fleet.ssh import Reason, SshFault
from apps.fleet.ssh.running import is_variable_name
from apps.fleet.states import RUN, RunStatus


class CommandTimedOut(DomainError):
    """504: a command was ended at its time-out; the details hold the run with the output so far."""

    status = 504
    code = "timed_out"


class NotReached(DomainError):
    """502: the machine was not reached, or did not let us in."""

    status = 502
    code = "not_reached"


log = logging.getLogger(__name__)

TIMEOUT_S, TIMEOUT_MOST_S = 60.0, 3600.0
COMMAND_MOST, STDIN_MOST, ENV_MOST = 64 * 1024, 1024 * 1024, 64 * 1024
#: A run whose process renewed nothing for so long is lost.
LEASE_S = 20.0
#: How often the row is brought up to date while it runs, and how often it asks whether to end.
STORE_EVERY_S, LOOK_EVERY_S, RENEW_EVERY_S = 0.5, 1.0, 5.0
BACKGROUND_MOST = 16
LANE = "commands"


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
        Conflict: the machine's host key is not pinned, or has changed (409).
        NotReached: the machine was not reached, let nobody in, or broke off (502).
        CommandTimedOut: its time was over (504); the details hold the run with the output so far.

    Emits: command.started, command.finished, live command.output.
    """
    row = start_run(actor=actor, executor=executor, command=command, server=server, ssh_connection=ssh_connection)
    fault = _Following(row, executor, command).follow()
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
        Invalid: the command is wrong (422). TooMany: this process runs many already (429).

    Emits: as `run_command`.
    """
    if not runner().free(LANE, BACKGROUND_MOST):
        raise TooMany(f"{BACKGROUND_MOST} commands run at this moment; wait for one to end.", retry_after_s=10)
    row = start_run(actor=actor, executor=executor, command=command, server=server, ssh_connection=ssh_connection)
    # A run of its own in the worker's threads; the lease tells everybody else that somebody follows it.
    runner().submit(LANE, lambda: runner().in_thread(_Following(row, executor, command).follow))
    return row


def executor_for_server(*, server: Server, actor: Principal) -> Executor:
    """Return how commands reach a server.

    Raises:
        Conflict: no way leads there (409). Forbidden: it is the platform's own host, and the caller may not (403).
    """
    return executor_of(server, actor)


def cleaned_command(
    *,
    text: str,
    timeout_s: float | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    sudo: bool = False,
) -> Command:
    """Return a command whose parts were checked. The text stays exactly as it is.

    Raises:
        Invalid: which part is wrong, and how (422).
    """
    problems: dict[str, str] = {}
    if not text.strip():
        problems["command"] = "must not be empty"
    elif len(text.encode("utf-8", "surrogatepass")) > COMMAND_MOST:
        problems["command"] = (
            f"must be shorter than {COMMAND_MOST >> 10} KiB; put longer scripts into a file over there"
        )
    elif "\0" in text:
        problems["command"] = "must not hold a null character"
    wanted = TIMEOUT_S if timeout_s is None else float(timeout_s)
    if not 0 < wanted <= TIMEOUT_MOST_S:
        problems["timeout"] = f"must lie between 0 and {TIMEOUT_MOST_S:g} s"
    if len(stdin.encode("utf-8", "surrogatepass")) > STDIN_MOST:
        problems["stdin"] = f"must be shorter than {STDIN_MOST >> 20} MiB"
    given = dict(env or {})
    for name, value in given.items():
        if not is_variable_name(name):
            problems[f"env.{name}"] = "is no name of a variable: letters, digits and _, no digit first"
        elif "\0" in value:
            problems[f"env.{name}"] = "must not hold a null character"
    if sum(len(value) for value in given.values()) > ENV_MOST:
        problems["env"] = f"must be shorter than {ENV_MOST >> 10} KiB"
    if sudo and (given or stdin):
        problems["sudo"] = "takes neither stdin nor env; write them into the command"
    if problems:
        raise Invalid(problems)
    return Command(text, wanted, stdin.encode("utf-8", "surrogatepass"), given, sudo)


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
        Invalid: sudo on the platform's own host (422).

    Emits: command.started
    """
    if command.sudo and executor.name != "ssh":
        raise Invalid({"sudo": "works over SSH alone"})
    now = timezone.now()
    row = CommandRun(
        server=server,
        ssh_connection=ssh_connection or (server.ssh_connection if server else None),
        target=(server.name if server else executor.target)[:255],
        executor=executor.name,
        command=command.text,
        env_names=sorted(command.env),
        has_stdin=bool(command.stdin),
        sudo=command.sudo,
        timeout_s=command.timeout_s,
        user_id=actor.user_id,
        user=actor.name[:150],
        started_at=now,
        lease_owner=leases.owner(),
        lease_until=now + timedelta(seconds=LEASE_S),
    )
    with transaction.atomic():
        row.save(force_insert=True)
        emit("command.started", subject=_subject_of(row), actor=actor, data=_facts_of(row), server_id=row.server_id)
    return row


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
                "command.cancel_asked", subject=_subject_of(row), actor=actor, data=_facts_of(row),
                server_id=row.server_id,
            )  # fmt: skip
    return row


def end_lost_runs(limit: int = 100) -> int:
    """End runs whose process renewed its lease no more: they are lost, with the output so far.

    Returns:
        How many.

    Emits: command.finished
    """
    gone = CommandRun.objects.filter(status=RunStatus.RUNNING, lease_until__lt=timezone.now())
    ended = 0
    for key in list(gone.values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            row = gone.select_for_update(of=("self",)).filter(pk=key).first()
            if row is not None:
                row.status = RunStatus.LOST
                row.error = "The process that followed it is gone. What became of the command is not known."
                _finish(row)
                ended += 1
    return ended


def prune_runs(before: Any, limit: int) -> int:
    """Delete at most `limit` ended runs that began before a time; returns how many."""
    old = CommandRun.objects.exclude(status=RunStatus.RUNNING).filter(started_at__lt=before)
    keys = list(old.order_by("started_at").values_list("pk", flat=True)[:limit])
    CommandRun.objects.filter(pk__in=keys).delete()
    return len(keys)


class _Following:
    """Follows one run to its end, in the thread that runs it."""

    def __init__(self, row: CommandRun, executor: Executor, command: Command) -> None:
        self.row, self.executor, self.command = row, executor, command
        self.output = Output()
        self.begun = time.monotonic()
        self.stored_at = self.looked_at = self.renewed_at = self.begun
        self.told = 0  # characters of the output that were published
        self.wants_end = False

    def follow(self) -> SshFault | None:
        """Run the command; its end stands in the row. Returns what kept it from being run."""
        fault: SshFault | None = None
        _let_go()
        try:
            outcome = self.executor.run(self.command, on_output=self.take, cancelled=self.look)
        except SshFault as error:
            ended = "cancelled" if error.reason == Reason.CANCELLED else "failed"
            fault, outcome = error, Outcome(ended, error=error.detail)
        except DomainError as error:
            outcome = Outcome("failed", error=str(error))
        except Exception as error:
            log.exception("a command could not be followed")
            outcome = Outcome("failed", error=f"It could not be followed to its end ({type(error).__name__}).")
        if fault is not None:
            note_fault(fault)
        self.output.finish()
        self._close(outcome)
        return fault

    def take(self, data: bytes) -> None:
        """Take output."""
        self.output.feed(data)
        if time.monotonic() - self.stored_at >= STORE_EVERY_S:
            self._store()

    def look(self) -> bool:
        """Renew the lease, store what came, and return whether to end."""
        now = time.monotonic()
        if now - self.stored_at >= STORE_EVERY_S:
            self._store()
        if now - self.looked_at >= LOOK_EVERY_S:
            self.looked_at = now
            mine = CommandRun.objects.filter(pk=self.row.pk, status=RunStatus.RUNNING)
            asked = list(mine.values_list("cancel_asked_at", flat=True))
            self.wants_end = not asked or asked[0] is not None  # it is lost already, or somebody wants it to end
            if now - self.renewed_at >= RENEW_EVERY_S:
                self.renewed_at = now
                mine.update(lease_until=timezone.now() + timedelta(seconds=LEASE_S))
            _let_go()
        return self.wants_end

    def _store(self) -> None:
        self.stored_at = time.monotonic()
        text = self.output.text
        if len(text) == self.told:
            return
        rows = CommandRun.objects.filter(pk=self.row.pk, status=RunStatus.RUNNING)
        rows.update(output=text, output_bytes=self.output.total, is_binary=self.output.is_binary)
        _let_go()
        self._publish(text)

    def _publish(self, text: str) -> None:
        server_id = self.row.server_id
        for start in range(self.told, len(text), 16_384):
            publish_live(
                "command.output",
                subject=_subject_of(self.row),
                data={
                    "command_id": str(self.row.pk),
                    "server_id": str(server_id) if server_id else None,
                    "at_char": start,
                    "text": text[start : start + 16_384],
                },
                server_id=server_id,
            )
        self.told = len(text)

    def _close(self, outcome: Outcome) -> None:
        self._publish(self.output.text)
        with transaction.atomic():
            now = CommandRun.objects.select_for_update(of=("self",)).filter(pk=self.row.pk).first()
            if now is None or now.status != RunStatus.RUNNING:
                return  # it was given up meanwhile; a run ends once
            row = self.row
            row.status = _status_of(outcome)
            row.exit_code, row.signal, row.error = outcome.exit_code, outcome.signal, outcome.error
            row.output, row.output_bytes = self.output.text, self.output.total
            row.is_binary = self.output.is_binary
            row.cancel_asked_at = now.cancel_asked_at
            row.duration_ms = round((time.monotonic() - self.begun) * 1000, 1)
            _finish(row)


def _let_go() -> None:
    """Give the database connection back: a run that takes an hour must not keep one of the pool."""
    if not connection.in_atomic_block:
        connection.close()


def _status_of(outcome: Outcome) -> str:
    if outcome.ended == "exited":
        return RunStatus.SUCCEEDED if outcome.exit_code == 0 else RunStatus.FAILED
    return {"timed_out": RunStatus.TIMED_OUT, "cancelled": RunStatus.CANCELLED}.get(outcome.ended, RunStatus.FAILED)


def _finish(row: CommandRun) -> None:
    row.finished_at, row.lease_until, row.lease_owner = timezone.now(), None, ""
    row.save()
    emit(
        "command.finished",
        subject=_subject_of(row),
        actor=system("commands"),
        level="info" if row.status == RunStatus.SUCCEEDED else "warning",
        data={
            **_facts_of(row),
            "status": str(row.status),
            "exit_code": row.exit_code,
            "signal": row.signal,
            "duration_ms": row.duration_ms,
            "output_bytes": row.output_bytes,
            "error": row.error,
        },
        server_id=row.server_id,
    )


def _subject_of(row: CommandRun) -> Subject:
    return Subject("command", str(row.pk), str(row))


def _facts_of(row: CommandRun) -> dict[str, Any]:
    return {
        "command_id": str(row.pk),
        "server_id": str(row.server_id) if row.server_id else None,
        "target": row.target,
        "executor": row.executor,
        "command": row.command[:2000],
        "by": row.user,
    }
