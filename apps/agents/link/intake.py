"""Takes the batches of all agents of this process into the database: many batches, few transactions, answers after.

The same services as `POST /metrics` and `POST /logs`, so that a sample or a line that comes twice counts once.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.agents.models import HostAgent
from apps.agents.states import Registration
from apps.core.asgi.batches import Batches, Bounds
from apps.core.errors import DomainError, Forbidden, NotFound, TooMany, Unauthenticated, Unavailable
from apps.core.principals import Principal
from apps.fleet.services.logs import LogPush, accept_logs
from apps.fleet.services.samples import MOST_A_PUSH, Push, accept_samples

#: A sample costs a transaction as much as some lines do.
LINES_A_SAMPLE = 4
BOUNDS = Bounds(items=64, rows=LINES_A_SAMPLE * MOST_A_PUSH, waiting=64 * 1024 * 1024, gather_s=0.1)
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
        self._batches = Batches("agents' batches", store=_store, unstored=_lost, bounds=BOUNDS)

    async def take(self, batch: Batch) -> Taken:
        """Return after the batch is on the disk."""
        if self._batches.is_full:
            return Taken(again_after_s=5)
        rows = LINES_A_SAMPLE * len(batch.samples) + len(batch.lines)
        return await self._batches.ask(batch, size=batch.size, rows=rows)

    async def drain(self) -> None:
        """Write what waits, then end the writer's thread."""
        await self._batches.drain()


def _lost(batch: Batch) -> Taken:
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
