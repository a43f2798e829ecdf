"""Drive batches: start the next runs of each, stop one that fails too often, close one that is through.

Nothing is remembered in the process. Whoever holds a batch's lease looks at its rows and does what is due; so any
process may be killed at any moment, and another one goes on.
"""

import logging
import threading
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from apps.accounts.credentials import principal_now
from apps.accounts.models import User
from apps.accounts.principals import principal_of_user
from apps.core import leases
from apps.core.errors import DomainError
from apps.core.events import Emission, emit, emit_many, publish_live
from apps.core.principals import Principal, system
from apps.fleet.commands import Command
from apps.fleet.executors import Executor, SshExecutor, executor_of, provided_among
from apps.fleet.models import ChangeLimit, CommandBatch, CommandRun
from apps.fleet.selectors.ssh import known_ways, ways_of
from apps.fleet.services import following
from apps.fleet.services.background import WATCHED_LEASE_S, follow_in_background, room_in_background
from apps.fleet.services.batches import command_of, facts_of, subject_of
from apps.fleet.services.change_limits import draw_slots
from apps.fleet.services.commands import draw_of
from apps.fleet.services.following import Following, finish_runs
from apps.fleet.ssh import pool
from apps.fleet.states import BAD, BatchStatus, RunStatus

log = logging.getLogger(__name__)

#: Batches that are claimed at once, and how long a look at these may take.
BATCHES_MOST, DRIVE_S = 20, 15.0
#: Runs that are looked at beyond those that may start: the limits may let later ones pass.
BEYOND = 100
#: How long variables and input are kept for a retry.
INPUTS_S = 86_400.0
_ACTOR = system("commands")
_turn = threading.Lock()


def drive_batches(batch_ids: Collection[UUID] = ()) -> int:
    """Do what is due for the batches that run, or for these of them.

    Returns:
        How many were looked at.

    Emits: command.started, command.finished for runs that could not begin, command_batch.finished, live
        command_batch.progress
    """
    due = CommandBatch.objects.filter(status=BatchStatus.RUNNING).order_by("started_at")
    if batch_ids:
        due = due.filter(pk__in=list(batch_ids))
    if not due.exists():
        return 0
    looked: list[UUID] = []
    with _turn:
        # To the end of the list: those that wait for long would keep the younger ones from ever beginning.
        while True:
            rows = leases.claim(
                due.exclude(pk__in=looked), limit=BATCHES_MOST, owner=leases.owner(), seconds=DRIVE_S
            )  # fmt: skip
            for batch in rows:
                try:
                    _Drive(batch).go()
                except Exception:
                    log.exception("batch %s could not be driven", batch.pk)
                finally:
                    mine = CommandBatch.objects.filter(pk=batch.pk, lease_owner=leases.owner())
                    mine.update(lease_owner="", lease_until=None)
            looked += [batch.pk for batch in rows]
            if len(rows) < BATCHES_MOST:
                return len(looked)


def wipe_inputs(limit: int = 100) -> int:
    """Forget variables and input of batches that ended a day ago; returns of how many."""
    before = timezone.now() - timedelta(seconds=INPUTS_S)
    old = CommandBatch.objects.exclude(status=BatchStatus.RUNNING).filter(finished_at__lt=before)
    keys = list(old.filter(inputs__isnull=False).values_list("pk", flat=True)[:limit])
    if keys:
        CommandBatch.objects.filter(pk__in=keys).update(inputs=None)
    return len(keys)


def principal_of(batch: CommandBatch) -> Principal:
    """Return who started a batch, with the rights they have now.

    Raises:
        DomainError: they may act no more.
    """
    if batch.actor_kind == "system":
        return system(batch.actor_id)
    if batch.actor_kind == "api_key":
        return principal_now(api_key_id=batch.actor_id)
    user = User.objects.filter(pk=batch.actor_id, disabled=False).first()
    if user is None:
        raise DomainError(f"The account {batch.user} is disabled.")
    return principal_of_user(user)


class _Drive:
    """One look at one batch, under its lease."""

    def __init__(self, batch: CommandBatch) -> None:
        self.batch = batch
        self.runs: Any = CommandRun.objects.filter(batch=batch)

    def go(self) -> None:
        batch, counts = self.batch, self._counts()
        before = (batch.succeeded, batch.failed, batch.skipped, batch.waits_for)
        if not batch.stop_reason:
            batch.stop_reason = self._reason_to_stop(counts)
        batch.waits_for = ""
        if counts[RunStatus.WAITING] and not batch.stop_reason:
            try:
                actor = self._actor()
                command = command_of(batch, actor)
            except DomainError as error:
                batch.stop_reason = f"It can't go on: {error.detail}"[:500]
            else:
                # Followed at once: what comes after may fail.
                self._follow(self._begin(actor, counts), actor, command)
        if batch.stop_reason and counts[RunStatus.WAITING]:
            self._skip()
        self._note(self._counts(), before)

    def _actor(self) -> Principal:
        actor = principal_of(self.batch)
        if not actor.can("commands:run"):
            raise DomainError(f"{self.batch.user} may no longer run commands.")
        return actor

    def _counts(self) -> dict[str, int]:
        found = dict(self.runs.order_by().values_list("status").annotate(n=Count("pk")))
        return {status: found.get(status, 0) for status in RunStatus.values}

    def _reason_to_stop(self, counts: dict[str, int]) -> str:
        batch = self.batch
        bad = sum(counts[status] for status in BAD)
        if batch.canary:
            fine = (RunStatus.WAITING, RunStatus.RUNNING, RunStatus.SUCCEEDED)
            name = self.runs.filter(is_canary=True).exclude(status__in=fine).values_list("target", flat=True).first()
            if name is not None:
                return f"It did not succeed on {name}, which went first; the rest was spared."
        if batch.stop_after and bad >= batch.stop_after:
            return f"It failed on {bad} of {batch.hosts} machines; the rest was spared."
        return ""

    def _begin(self, actor: Principal, counts: dict[str, int]) -> list[tuple[CommandRun, Executor]]:
        """Start the next runs: as many as the batch, this process and the limits of change allow."""
        batch = self.batch
        room = min(batch.parallel - counts[RunStatus.RUNNING], room_in_background())
        if room <= 0:
            return []
        waiting = self.runs.filter(status=RunStatus.WAITING).order_by("position")
        if batch.canary and self.runs.filter(is_canary=True).exclude(status=RunStatus.SUCCEEDED).exists():
            waiting = waiting.filter(is_canary=True)
        beyond = BEYOND if ChangeLimit.objects.filter(enabled=True).exists() else 0
        rows = list(waiting.select_related("server__ssh_connection").defer("output")[: room + beyond])
        ways, faults = self._ways(rows, actor)
        with transaction.atomic():
            # Who cancels it locks it too: nothing begins after that.
            if CommandBatch.objects.select_for_update(of=("self",)).get(pk=batch.pk).cancel_asked_at:
                return []
            locked = set(
                self.runs.select_for_update(of=("self",))
                .filter(pk__in=[row.pk for row in rows], status=RunStatus.WAITING)
                .values_list("pk", flat=True)
            )
            wanted = {row.pk: row for row in rows if row.pk in locked and row.pk in ways}
            draws = [draw_of(row, row.server_id) for row in wanted.values() if row.server_id]
            taken, refusal = draw_slots(draws, most=room)
            granted, batch.waits_for = [wanted[one.holder_id] for one in taken], refusal[:500]
            self._start(granted, ways)
            finish_runs([row for row in faults if row.pk in locked])
        _read_credentials([ways[row.pk] for row in granted], actor)
        return [(row, ways[row.pk]) for row in granted]

    def _ways(
        self, rows: Sequence[CommandRun], actor: Principal
    ) -> tuple[dict[UUID, Executor], list[CommandRun]]:  # fmt: skip
        """Return how each is reached now, and those that can't be any more, with the reason."""
        ways: dict[UUID, Executor] = {}
        faults = []
        provided = provided_among([row.server_id for row in rows if row.server_id])
        for row in rows:
            try:
                if row.server is None:
                    raise DomainError("The server was removed before its turn came.")
                ways[row.pk] = executor_of(row.server, actor, provided=provided)
            except DomainError as error:
                row.status, row.error = RunStatus.FAILED, error.detail
                faults.append(row)
        over_ssh = [one for one in ways.values() if isinstance(one, SshExecutor)]
        known = known_ways([one.connection for one in over_ssh])
        for one in over_ssh:
            one.known = known.get(one.connection.pk)
        return ways, faults

    def _start(self, rows: Sequence[CommandRun], ways: dict[UUID, Executor]) -> None:
        now = timezone.now()
        until = now + timedelta(seconds=WATCHED_LEASE_S)
        by_executor: dict[str, list[UUID]] = {}
        for row in rows:
            row.status, row.started_at, row.executor = RunStatus.RUNNING, now, ways[row.pk].name
            row.lease_owner, row.lease_until = leases.owner(), until
            by_executor.setdefault(row.executor, []).append(row.pk)
        for name, keys in by_executor.items():
            self.runs.filter(pk__in=keys).update(
                status=RunStatus.RUNNING, started_at=now, executor=name, lease_owner=leases.owner(), lease_until=until
            )
        emit_many(
            Emission(
                "command.started",
                subject=following.subject_of(row),
                actor=_ACTOR,
                data=following.facts_of(row),
                server_id=row.server_id,
            )
            for row in rows
        )

    def _skip(self) -> None:
        status = RunStatus.CANCELLED if self.batch.cancel_asked_at else RunStatus.SKIPPED
        self.runs.filter(status=RunStatus.WAITING).update(
            status=status, finished_at=timezone.now(), error=self.batch.stop_reason
        )

    def _follow(self, begun: Sequence[tuple[CommandRun, Executor]], actor: Principal, command: Command) -> None:
        for row, executor in begun:
            follow_in_background(Following(row, executor, command, actor))

    def _note(self, counts: dict[str, int], before: tuple[int, int, int, str]) -> None:
        """Write the figures down, tell them, and close the batch where it is through."""
        batch = self.batch
        batch.succeeded = counts[RunStatus.SUCCEEDED]
        batch.failed = sum(counts[status] for status in BAD)
        batch.skipped = counts[RunStatus.SKIPPED] + counts[RunStatus.CANCELLED]
        figures = {"succeeded": batch.succeeded, "failed": batch.failed, "skipped": batch.skipped}
        waiting, running = counts[RunStatus.WAITING], counts[RunStatus.RUNNING]
        fields = ["succeeded", "failed", "skipped", "waits_for", "stop_reason"]
        if not waiting and not running:
            with transaction.atomic():
                # Somebody may have cancelled it meanwhile.
                now = CommandBatch.objects.select_for_update(of=("self",)).get(pk=batch.pk)
                if now.status != BatchStatus.RUNNING:
                    return
                if now.cancel_asked_at:
                    batch.cancel_asked_at, batch.stop_reason = now.cancel_asked_at, now.stop_reason
                batch.status, batch.finished_at = self._end(), timezone.now()
                batch.save(update_fields=[*fields, "status", "finished_at"])
                emit(
                    "command_batch.finished",
                    subject=subject_of(batch),
                    actor=_ACTOR,
                    level="info" if batch.status == BatchStatus.SUCCEEDED else "warning",
                    data={**facts_of(batch), "status": str(batch.status), "reason": batch.stop_reason, **figures},
                )
        elif (batch.succeeded, batch.failed, batch.skipped, batch.waits_for) != before or batch.stop_reason:
            CommandBatch.objects.filter(pk=batch.pk, cancel_asked_at=batch.cancel_asked_at).update(
                **{name: getattr(batch, name) for name in fields}
            )
        publish_live(
            "command_batch.progress",
            subject=subject_of(batch),
            data={
                "batch_id": str(batch.pk), "waiting": waiting, "running": running, **figures,
                "waits_for": batch.waits_for,
            },
        )  # fmt: skip

    def _end(self) -> str:
        batch = self.batch
        if batch.cancel_asked_at:
            return BatchStatus.CANCELLED
        if batch.stop_reason:
            return BatchStatus.STOPPED
        # Those that could not be reached had no turn, which is no success either.
        return BatchStatus.SUCCEEDED if batch.succeeded == batch.hosts else BatchStatus.FAILED


def _read_credentials(executors: Sequence[Executor], actor: Principal) -> None:
    """Read for many at once what signs in where no connection is open; whoever goes without reads its own."""
    cold = {
        one.connection.pk: one
        for one in executors
        if isinstance(one, SshExecutor) and one.known and not pool.count(str(one.connection.pk))
    }
    try:
        ways = ways_of([one.known[0][0] for one in cold.values() if one.known], actor=actor)
    except Exception:  # the runs have begun: they are followed whatever happens here
        log.exception("the credentials of several machines could not be read at once")
        return
    for key, way in ways.items():
        cold[key].way = way


following.batch_listeners.register("batches", drive_batches)
