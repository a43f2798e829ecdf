"""What is asked of agents, as rows: asked by any process, sent by the one that holds the agent's connection."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Length
from django.utils import timezone

from apps.agents.models import AgentOutput, AgentRequest, HostAgent, HostAgentState
from apps.agents.states import REQUEST, Registration, RequestState
from apps.core import bell, leases

#: Who asked renews this while it waits; then nobody waits any more.
LEASE_S = 20.0
#: An agent that was silent for so long is not there, whatever its row says.
SILENT_S = 20.0
KEPT = timedelta(hours=1)
RUN, SHELL, SIGNAL, CONTAINER = "command", "shell", "signal", "container"
#: Kinds that are done at once and answered by one `result`.
QUESTIONS = (SIGNAL, CONTAINER)
#: Kinds that have an answer; the others (stdin, resize) are gone once sent.
ANSWERED = (RUN, SHELL, *QUESTIONS)
OPEN = (RequestState.SENT, RequestState.RUNNING)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands."""

    state: str
    result: dict[str, Any]
    error: str


def ask(*, agent: HostAgent, kind: str, body: Mapping[str, Any], run_id: UUID | None = None, within_s: float) -> UUID:
    """Write down what an agent is asked, and ring. The caller renews the lease while it waits.

    Args:
        body: of the frame; may hold secrets.
        run_id: the request it is about.
        within_s: it is not sent any more after so many seconds.

    Returns:
        The id of the request.
    """
    now = timezone.now()
    row = AgentRequest.objects.create(
        agent=agent,
        kind=kind,
        run_id=run_id,
        body=json.dumps(body),
        expires_at=now + timedelta(seconds=within_s),
        lease_owner=leases.owner(),
        lease_until=now + timedelta(seconds=LEASE_S),
    )
    bell.ring(bell.AGENTS)
    return row.pk


def standing_of(request_id: UUID) -> Standing | None:
    """Return how a request stands; None where it is gone."""
    row = AgentRequest.objects.filter(pk=request_id).values_list("state", "result", "error").first()
    return Standing(*row) if row else None


def was_sent(request_id: UUID) -> bool:
    """Return whether a request has left for its agent."""
    return AgentRequest.objects.filter(pk=request_id, sent_at__isnull=False).exists()


def renew(request_id: UUID) -> None:
    """Say that somebody still waits."""
    AgentRequest.objects.filter(pk=request_id).update(lease_until=timezone.now() + timedelta(seconds=LEASE_S))


def take_output(request_id: UUID, pieces_most: int = 64) -> bytes:
    """Return what was written since the last call, and forget it."""
    rows = list(
        AgentOutput.objects.filter(request_id=request_id).order_by("seq").values_list("pk", "data")[:pieces_most]
    )
    if not rows:
        return b""
    data = b"".join(bytes(piece) for _, piece in rows)
    with transaction.atomic():
        AgentOutput.objects.filter(pk__in=[key for key, _ in rows]).delete()
        AgentRequest.objects.filter(pk=request_id).update(credit=F("credit") + len(data))
    bell.ring(bell.AGENTS)
    return data


def wish_end(request_id: UUID) -> bool:
    """Ask for the end of a run. True where it was not sent yet, and so never will be."""
    now = timezone.now()
    REQUEST.check(RequestState.WAITING, RequestState.FAILED)
    waiting = AgentRequest.objects.filter(pk=request_id, state=RequestState.WAITING)
    if waiting.update(state=RequestState.FAILED, finished_at=now, body=""):
        return True
    AgentRequest.objects.filter(pk=request_id, cancel_asked_at=None).update(cancel_asked_at=now)
    bell.ring(bell.AGENTS)
    return False


def give_up(request_id: UUID) -> None:
    """Wait no longer: what runs there is ended when the agent is back. One that has ended stays so."""
    open_states = (RequestState.WAITING, *OPEN)
    AgentRequest.objects.filter(pk=request_id, state__in=open_states).update(
        state=RequestState.LOST, finished_at=timezone.now(), body=""
    )
    bell.ring(bell.AGENTS)


def forget(request_id: UUID) -> None:
    """Remove a request that has ended and whose answer was read."""
    AgentRequest.objects.filter(pk=request_id).exclude(state__in=OPEN).delete()


def is_there(agent_id: UUID) -> bool:
    """Return whether a process holds a live connection of the agent."""
    border = timezone.now() - timedelta(seconds=SILENT_S)
    rows = HostAgentState.objects.filter(pk=agent_id, agent__registration=Registration.APPROVED)
    return rows.filter(last_seen_at__gt=border, agent__deleted_at=None).exclude(connection_token="").exists()


# --- of the process that holds the connections ---------------------------------------------------------------------


@dataclass(slots=True)
class Open:
    """A request that this process's connections have to do something about."""

    id: UUID
    agent_id: UUID
    kind: str
    run_id: UUID | None
    body: str
    state: str
    credit: int
    cancel_asked_at: datetime | None
    is_left: bool  # nobody waits for it any more


def open_requests(agent_ids: Sequence[UUID]) -> list[Open]:
    """Return what is asked of these agents and not over, in the order of asking."""
    now = timezone.now()
    rows = AgentRequest.objects.filter(agent_id__in=agent_ids).filter(
        Q(state=RequestState.WAITING, expires_at__gt=now) | Q(state__in=OPEN)
    )
    return [
        Open(
            row.pk,
            row.agent_id,
            row.kind,
            row.run_id,
            row.body,
            row.state,
            row.credit,
            row.cancel_asked_at,
            is_left=row.lease_until is None or row.lease_until < now,
        )
        for row in rows.order_by("id")
    ]


def claim(request: Open, token: str) -> bool:
    """Mark a request as sent over a connection. True for one caller alone; only that one sends it."""
    REQUEST.check(request.state, RequestState.SENT)
    rows = AgentRequest.objects.filter(pk=request.id, state=RequestState.WAITING)
    if request.kind not in ANSWERED:
        return bool(rows.delete()[0])
    now = timezone.now()
    return bool(rows.update(state=RequestState.SENT, sent_at=now, connection_token=token, body=""))


def leave(request_id: UUID) -> None:
    """Note that nobody waits for a request any more."""
    AgentRequest.objects.filter(pk=request_id, state__in=(RequestState.WAITING, *OPEN)).update(
        state=RequestState.LOST, finished_at=timezone.now(), body=""
    )


def runs_of(agent_id: UUID, token: str) -> list[dict[str, Any]]:
    """Return what an agent that has come back is running for somebody, with the bytes of output that are here.

    What it was sent belongs to its new connection from here on. A question that was under way is lost: it may have
    been followed, and is not sent twice.
    """
    mine = AgentRequest.objects.filter(agent_id=agent_id, state__in=OPEN)
    with transaction.atomic():
        mine.filter(kind__in=QUESTIONS).update(
            state=RequestState.LOST, finished_at=timezone.now(), error="The connection to the agent broke off."
        )
        # From here on nobody takes output: what is taken between two readings would be counted in both, or in none.
        mine.update(connection_token=token)
        stored = dict(
            AgentOutput.objects.filter(request__agent_id=agent_id, request__state__in=OPEN)
            .values_list("request_id")
            .annotate(size=Sum(Length("data")))
        )
        credits = list(mine.values_list("id", "credit"))
    return [{"id": str(key), "bytes": credit + (stored.get(key) or 0)} for key, credit in credits]


def store_output(pieces: Sequence[tuple[UUID, int, bytes]], endings: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    """Write down pieces of output (request, offset, data) and ends, in one transaction. Repeated ones count once."""
    now = timezone.now()
    with transaction.atomic():
        if pieces:
            rows = AgentRequest.objects.select_for_update().filter(pk__in={key for key, _, _ in pieces}, state__in=OPEN)
            taken = dict(rows.order_by("pk").values_list("pk", "credit"))
            AgentOutput.objects.bulk_create(
                [
                    AgentOutput(request_id=key, seq=at, data=data)
                    for key, at, data in pieces
                    if key in taken and at >= taken[key]  # else it came before, and was taken
                ],
                ignore_conflicts=True,
            )
            AgentRequest.objects.filter(pk__in=list(taken), state=RequestState.SENT).update(state=RequestState.RUNNING)
        for key, ending in endings:
            AgentRequest.objects.filter(pk=key, state__in=OPEN).update(
                state=RequestState.DONE, result=ending, finished_at=now, body=""
            )
    bell.ring(bell.AGENT_OUTPUT)


def prune(limit: int) -> int:
    """Delete at most `limit` requests that are over or that nobody waits for; returns how many."""
    now = timezone.now()
    old = AgentRequest.objects.filter(created_at__lt=now - KEPT).exclude(lease_until__gt=now)
    keys = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    AgentRequest.objects.filter(pk__in=keys).delete()
    return len(keys)


def not_counting(tokens: Mapping[UUID, str]) -> set[UUID]:
    """Return the agents whose connection counts no more: revoked, removed, or replaced by a newer one."""
    rows = HostAgentState.objects.filter(pk__in=list(tokens), agent__deleted_at=None)
    rows = rows.filter(agent__registration=Registration.APPROVED)
    known = dict(rows.values_list("pk", "connection_token"))
    return {key for key, token in tokens.items() if known.get(key) != token}


def is_trusted(agent_id: UUID) -> bool:
    """Return whether the agent is approved now."""
    return HostAgent.objects.current().filter(pk=agent_id, registration=Registration.APPROVED).exists()


def waiting_input(request_id: UUID) -> int:
    """Return how many pieces of input wait to be sent."""
    return AgentRequest.objects.filter(run_id=request_id, state=RequestState.WAITING).count()
