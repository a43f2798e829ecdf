"""Follow runs to their end: output as it comes, the lease, the wish to cancel, and the end in the row."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID
from weakref import WeakSet

from django.db import Error, connection, transaction
from django.utils import timezone

from apps.core.crypto import CryptoError
from apps.core.errors import DomainError
from apps.core.events import Subject, publish_live
from apps.core.events.emit import Emission, emit_many
from apps.core.masking import Masker
from apps.core.principals import Principal, system
from apps.core.registries import Registry
from apps.core.rows import storable
from apps.fleet.commands import ERROR_MOST, SIGNAL_MOST, Command, Outcome, Output
from apps.fleet.executors import Executor
from apps.fleet.models import CommandRun
from apps.fleet.outputs import Spool
from apps.fleet.services.change_limits import give_back
from apps.fleet.services.ssh_keys import note_fault
from apps.fleet.ssh import Reason, SshFault
from apps.fleet.states import RunStatus
from apps.secrets.services import read_for_use

log = logging.getLogger(__name__)

#: A run whose process renewed nothing for so long is lost.
LEASE_S = 20.0
#: How often the row is brought up to date while it runs, and how often it asks whether to end.
STORE_EVERY_S, LOOK_EVERY_S, RENEW_EVERY_S = 0.5, 1.0, 5.0
#: How long to wait before the end of a run is written again, where the database did not take it.
CLOSE_PAUSES_S = (0.2, 1.0, 3.0)
#: Kind of the slots that runs hold.
HOLDER = "command"
#: Why it ended, where its process had to end.
STOPPED = "Watchkeeper was stopped while the command ran;"
#: Told of the batches whose runs have just ended.
batch_listeners: Registry[Callable[[Collection[UUID]], object]] = Registry("listener of batches")


class Following:
    """Follows one run, in the thread that runs it.

    Args:
        actor: for whom the secrets of its variables are read.
        is_watched: a keeper renews its lease and looks for the wish to cancel, together with those of others.
    """

    def __init__(
        self, row: CommandRun, executor: Executor, command: Command, actor: Principal, *, is_watched: bool = False
    ) -> None:
        self.row, self.executor, self.command, self.actor = row, executor, command, actor
        self.is_watched = is_watched
        self.is_left = False  # this process ends, and so does the run
        self.is_over = False
        self.output = Output()
        self.spool = Spool(row.pk)
        self.masked = Masker([]).stream()
        self.begun = time.monotonic()
        self.stored_at = self.looked_at = self.renewed_at = self.begun
        self.stored_total = 0
        self.told = 0  # characters of the output that were published
        self.wants_end = False
        self.duration_ms = 0.0
        self.outcome = Outcome("failed")
        with _lock:
            _followed.add(self)

    def follow(self) -> SshFault | None:
        """Run the command; its end stands in `outcome`. Returns what kept it from being run."""
        fault: SshFault | None = None
        let_go()
        try:
            command = self._with_secrets()
            self.outcome = self._judged(self.executor.run(command, on_output=self.take, cancelled=self.look))
        except SshFault as error:
            ended = "cancelled" if error.reason == Reason.CANCELLED else "lost" if error.may_have_run else "failed"
            fault, self.outcome = error, self._judged(Outcome(ended, error=error.detail), has_begun=False)
        except (DomainError, CryptoError) as error:
            self.outcome = Outcome("failed", error=str(error))
        except Exception as error:
            log.exception("a command could not be followed")
            self.outcome = Outcome("failed", error=f"It could not be followed to its end ({type(error).__name__}).")
        if fault is not None:
            note_fault(fault)
        self._keep(self.masked.flush())
        self.output.finish()
        self.spool.finish(is_binary=self.output.is_binary)
        self.duration_ms = round((time.monotonic() - self.begun) * 1000, 1)
        self._publish(self.output.text)
        let_go()
        self.is_over = True
        return fault

    def _judged(self, outcome: Outcome, *, has_begun: bool = True) -> Outcome:
        """Return how it ended; what this process ended because it ends itself was cancelled by nobody."""
        if outcome.ended != "cancelled" or not self.is_left or self.wants_end:
            return outcome
        if not has_begun:
            return Outcome("failed", error="Watchkeeper was stopped before the command began.")
        return Outcome("lost", error=f"{STOPPED} it was ended then. {outcome.error}".strip())

    def give_up(self) -> None:
        """Stop following: the process ends, and the command did not end in time."""
        self.outcome = Outcome("lost", error=f"{STOPPED} what became of it is not known.")
        self.duration_ms = round((time.monotonic() - self.begun) * 1000, 1)

    def _with_secrets(self) -> Command:
        """Return the command with the values that its variables name in the vault; they are masked from here on."""
        command = self.command
        if not command.secrets:
            return command
        values = {
            name: read_for_use(secret_id=secret_id, purpose=f"Variable {name} of commands", actor=self.actor)
            for name, secret_id in command.secrets.items()
        }
        self.masked = Masker(values.values()).stream()
        let_go()
        return replace(command, env={**command.env, **values}, secrets={})

    def take(self, data: bytes) -> None:
        """Take output."""
        if not self.output.total:  # what a short command prints is stored with its end, however long it took to begin
            self.stored_at = time.monotonic()
        self._keep(self.masked.feed(data))
        if time.monotonic() - self.stored_at >= STORE_EVERY_S:
            self._store()

    def _keep(self, data: bytes) -> None:
        if data:
            self.output.feed(data)
            self.spool.feed(data)

    def look(self) -> bool:
        """Store what came and return whether to end; unless a keeper does, renew the lease."""
        now = time.monotonic()
        if now - self.stored_at >= STORE_EVERY_S:
            self._store()
        if self.is_watched:
            self.looked_at = now
        elif now - self.looked_at >= LOOK_EVERY_S:
            self.looked_at = now
            try:
                self._look_at_row(now)
            except Error:
                note_absence()
            finally:
                let_go()
        return self.wants_end or self.is_left

    def _look_at_row(self, now: float) -> None:
        mine = CommandRun.objects.filter(pk=self.row.pk, status=RunStatus.RUNNING)
        asked = list(mine.values_list("cancel_asked_at", flat=True))
        self.wants_end = not asked or asked[0] is not None  # it is lost already, or somebody wants it to end
        if now - self.renewed_at >= RENEW_EVERY_S:
            mine.update(lease_until=timezone.now() + timedelta(seconds=LEASE_S))
            self.renewed_at = now

    def _store(self) -> None:
        self.stored_at = time.monotonic()
        total, text = self.output.total, self.output.text
        if total == self.stored_total:
            return
        values: dict[str, Any] = {
            "output_bytes": total,
            "is_binary": self.output.is_binary,
            "file_bytes": self.spool.stored,
            "output_note": self.spool.note,
        }
        if len(text) != self.told:
            values["output"] = text
        try:
            CommandRun.objects.filter(pk=self.row.pk, status=RunStatus.RUNNING).update(**values)
        except Error:
            note_absence()
            return
        finally:
            let_go()
        self.stored_total = total
        self._publish(text)

    def _publish(self, text: str) -> None:
        server_id = self.row.server_id
        for start in range(self.told, len(text), 16_384):
            publish_live(
                "command.output",
                subject=subject_of(self.row),
                data={
                    "command_id": str(self.row.pk),
                    "server_id": str(server_id) if server_id else None,
                    "at_char": start,
                    "text": text[start : start + 16_384],
                },
                server_id=server_id,
            )
        self.told = len(text)


def close_followed(ended: Sequence[Following]) -> None:
    """Write the ends of runs into their rows, one transaction for some dozens. A run that was given up stays so.

    Emits: command.finished
    """
    batches: dict[UUID, None] = {}
    for start in range(0, len(ended), 50):
        part = ended[start : start + 50]
        with transaction.atomic():
            rows = CommandRun.objects.select_for_update(of=("self",)).filter(pk__in=[one.row.pk for one in part])
            now = {row.pk: row for row in rows.filter(status=RunStatus.RUNNING).defer("output")}
            closed = []
            for one in part:
                if one.row.pk in now:
                    row, outcome = one.row, one.outcome
                    # The server may have been removed since; a stale key would fail the ends of all in this part.
                    row.server_id = now[row.pk].server_id
                    row.ssh_connection_id = now[row.pk].ssh_connection_id
                    row.status = _status_of(outcome)
                    row.exit_code, row.signal = outcome.exit_code, storable(outcome.signal)[:SIGNAL_MOST]
                    row.error = storable(outcome.error)[:ERROR_MOST]
                    row.output, row.output_bytes = one.output.text, one.output.total
                    row.file_bytes, row.output_note = one.spool.stored, one.spool.note
                    row.is_binary = one.output.is_binary
                    row.cancel_asked_at = now[row.pk].cancel_asked_at
                    row.duration_ms = one.duration_ms
                    closed.append(row)
            finish_runs(closed)
        batches.update(dict.fromkeys(row.batch_id for row in closed if row.batch_id))
    tell_batches(batches)


def close_alone(following: Following) -> None:
    """Write the end of a run as `close_followed`, with patience where the database is away for a moment; a run that
    was given up meanwhile is read again.
    """
    for pause_s in CLOSE_PAUSES_S:
        try:
            close_followed([following])
            break
        except Error:
            note_absence()
            time.sleep(pause_s)
    else:
        close_followed([following])
    if following.row.status == RunStatus.RUNNING:
        following.row.refresh_from_db()


def finish_runs(rows: Sequence[CommandRun]) -> None:
    """Save runs that have ended, free what they held, and tell it. Call it in a transaction.

    Emits: command.finished
    """
    now = timezone.now()
    for row in rows:
        row.finished_at, row.lease_until, row.lease_owner = now, None, ""
        row.save()
    if rows:
        give_back(HOLDER, [row.pk for row in rows])
    emit_many(
        Emission(
            "command.finished",
            subject=subject_of(row),
            actor=_ACTOR,
            level="info" if row.status == RunStatus.SUCCEEDED else "warning",
            data={
                **facts_of(row),
                "status": str(row.status),
                "exit_code": row.exit_code,
                "signal": row.signal,
                "duration_ms": row.duration_ms,
                "output_bytes": row.output_bytes,
                "error": row.error,
            },
            server_id=row.server_id,
        )
        for row in rows
    )


def tell_batches(batch_ids: Collection[UUID]) -> None:
    """Tell who goes on with batches that runs of theirs have ended. A fault there is not the runs'."""
    if batch_ids:
        for name, listen in batch_listeners.items():
            try:
                listen(batch_ids)
            except Exception:
                log.exception("listener %s of batches failed", name)


_ACTOR = system("commands")
_lock = threading.Lock()
_followed: WeakSet[Following] = WeakSet()


def followed_here() -> list[Following]:
    """Return what this process follows, and has followed a moment ago."""
    with _lock:
        return list(_followed)


def note_absence() -> None:
    """Note that the database is away. What runs goes on: the lease decides whether that was for too long."""
    log.warning("the row of a command can't be reached", exc_info=True)


def let_go() -> None:
    """Give the database connection back: a run that takes an hour must not keep one of the pool."""
    if not connection.in_atomic_block:
        connection.close()


def _status_of(outcome: Outcome) -> str:
    if outcome.ended == "exited":
        return RunStatus.SUCCEEDED if outcome.exit_code == 0 else RunStatus.FAILED
    ends = {"timed_out": RunStatus.TIMED_OUT, "cancelled": RunStatus.CANCELLED, "lost": RunStatus.LOST}
    return ends.get(outcome.ended, RunStatus.FAILED)


def subject_of(row: CommandRun) -> Subject:
    """Return a run as the subject of a fact."""
    return Subject("command", str(row.pk), str(row))


def facts_of(row: CommandRun) -> dict[str, Any]:
    """Return what every fact about a run says."""
    return {
        "command_id": str(row.pk),
        "batch_id": str(row.batch_id) if row.batch_id else None,
        "server_id": str(row.server_id) if row.server_id else None,
        "target": row.target,
        "executor": row.executor,
        "command": row.command[:2000],
        "by": row.user,
    }
