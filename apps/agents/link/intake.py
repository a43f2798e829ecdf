"""Takes the batches of all agents of this process into the database: many batches, few transactions, answers after.

The same services as `POST /metrics` and `POST /logs`, so that a sample or a line that comes twice counts once.
"""

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection as database

from apps.agents.models import HostAgent
from apps.agents.states import Registration
from apps.core.errors import DomainError, Forbidden, NotFound, TooMany, Unauthenticated, Unavailable
from apps.core.principals import Principal
from apps.fleet.hot import disconnect
from apps.fleet.services.logs import LogPush, accept_logs
from apps.fleet.services.samples import MOST_A_PUSH, Push, accept_samples

log = logging.getLogger(__name__)

GATHER_S = 0.1
BATCHES_MOST = 64
LINES_MOST = 2000
#: More waiting than this, and agents are told to come again.
WAITING_BYTES_MOST = 64 * 1024 * 1024
_RIGHTS = frozenset({"samples:push", "logs:push"})


@dataclass(slots=True)
class Batch:
    """What an agent sent with one number."""

    agent_id: UUID
    server_id: str
    name: str
    samples: list[Any]
    lines: list[Any]
    size: int


@dataclass(slots=True)
class Taken:
    """What became of a batch: refused parts by their place; or when to send it again; or why the agent may not."""

    refused: list[dict[str, Any]] = field(default_factory=list)
    again_after_s: float = 0.0
    forbidden: DomainError | None = None


class Intake:
    """One a process; `take` from the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Batch, asyncio.Future[Taken]]] = deque()
        self._waiting_bytes = 0
        self._writer: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None

    async def take(self, batch: Batch) -> Taken:
        """Return after the batch is on the disk."""
        if self._waiting_bytes > WAITING_BYTES_MOST:
            return Taken(again_after_s=5)
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        self._waiting_bytes += batch.size
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        return await future

    async def drain(self) -> None:
        """Write what waits, then end the writer's thread."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await asyncio.get_running_loop().run_in_executor(writer, disconnect)
            writer.shutdown(wait=False)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="agents")
        while self._waiting:
            if len(self._waiting) < BATCHES_MOST:
                await asyncio.sleep(GATHER_S)
            some = self._next()
            taken = await loop.run_in_executor(self._writer, store, [batch for batch, _ in some])
            for (_, future), one in zip(some, taken, strict=True):
                if not future.done():  # else the agent went away
                    future.set_result(one)

    def _next(self) -> list[tuple[Batch, "asyncio.Future[Taken]"]]:
        some: list[tuple[Batch, asyncio.Future[Taken]]] = []
        samples = lines = 0
        while self._waiting and len(some) < BATCHES_MOST:
            batch = self._waiting[0][0]
            samples, lines = samples + len(batch.samples), lines + len(batch.lines)
            if some and (samples > MOST_A_PUSH or lines > LINES_MOST):
                break
            self._waiting_bytes -= batch.size
            some.append(self._waiting.popleft())
        return some


def store(batches: list[Batch]) -> list[Taken]:
    """Write batches, in the writer's thread. One that can't be stored doesn't take those beside it along."""
    try:
        return _store(batches)
    except Exception:
        log.exception("storing %d batches of agents failed", len(batches))
        database.close()  # the next try gets a fresh one
    return [_store_alone(batch) for batch in batches]


def _store_alone(batch: Batch) -> Taken:
    try:
        return _store([batch])[0]
    except Exception:
        log.exception("storing a batch of %s failed", batch.name)
        database.close()
        return Taken(again_after_s=10)


def _store(batches: list[Batch]) -> list[Taken]:
    trusted = HostAgent.objects.current().filter(pk__in={one.agent_id for one in batches})
    valid = set(trusted.filter(registration=Registration.APPROVED).values_list("pk", flat=True))
    taken = [Taken() for _ in batches]
    pushes: list[tuple[Taken, Push]] = []
    log_pushes: list[tuple[Taken, LogPush]] = []
    for batch, one in zip(batches, taken, strict=True):
        if batch.agent_id not in valid:
            one.forbidden = Forbidden("This agent was revoked.")
            continue
        caller = Principal(
            kind="agent", id=str(batch.agent_id), name=batch.name, permissions=_RIGHTS, role="agent",
            bound_kind="server", bound_id=batch.server_id,
        )  # fmt: skip
        half = batch.size // ((1 if batch.samples else 0) + (1 if batch.lines else 0) or 1)
        if batch.samples:
            pushes.append((one, Push(batch.server_id, batch.samples, principal=caller, size=half)))
        if batch.lines:
            log_pushes.append((one, LogPush(batch.lines, principal=caller, server=batch.server_id, size=half)))
    if pushes:
        for (one, _), outcome in zip(pushes, accept_samples([push for _, push in pushes]), strict=True):
            _note(one, outcome.error, outcome.refused, "samples")
    if log_pushes:
        for (one, _), said in zip(log_pushes, accept_logs([push for _, push in log_pushes]), strict=True):
            _note(one, said.error, said.refused, "logs")
    return taken


def _note(one: Taken, error: DomainError | None, refused: list[dict[str, Any]], part: str) -> None:
    if isinstance(error, TooMany):
        one.again_after_s = max(one.again_after_s, float(error.retry_after_s))
    elif isinstance(error, Unavailable):
        one.again_after_s = max(one.again_after_s, 10.0)
    elif isinstance(error, Forbidden | NotFound | Unauthenticated):
        one.forbidden = error
    elif error is not None:
        one.refused.append({"part": part, "index": None, "reason": str(error)})
    elif any(said["reason"] == "could not be stored; send it again" for said in refused):
        one.again_after_s = max(one.again_after_s, 2.0)
    else:
        one.refused += ({"part": part, **said} for said in refused)


intake = Intake()
