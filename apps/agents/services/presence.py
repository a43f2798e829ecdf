"""Is an agent there? Written by the process that holds its connection, and by the sweep that notices silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.agents.models import HostAgent, HostAgentState
from apps.agents.services.common import locked, tell, tell_status
from apps.agents.states import Registration
from apps.core.errors import Forbidden
from apps.core.principals import system
from apps.fleet.retention import silent_after_s

SWEEP_ROWS = 200
_SAID = ("version", "hostname", "os", "architecture")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a worker says of its load, percent."""

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None


def silence_border(now: datetime | None = None) -> datetime:
    """Return the time since when an online agent must have been heard."""
    return (now or timezone.now()) - timedelta(seconds=silent_after_s())


def connected(*, agent: HostAgent, owner: str, token: str, said: Mapping[str, str] | None = None) -> None:
    """Note that an agent has proved its key on a new connection. It takes the place of an older one.

    Args:
        owner: the process that holds it, as in leases. token: names the connection.
        said: version, hostname, os, architecture, as the agent says.

    Raises:
        Forbidden: since it proved its key it was revoked, or its host was set up anew (403).
        NotFound: it was removed (404).

    Emits: worker.online and agent.status, where the agent was not there.
    """
    now = timezone.now()
    with transaction.atomic():
        row = locked(agent)
        if not row.is_approved or row.fingerprint != agent.fingerprint:
            raise Forbidden("This agent was revoked. Enrol this host anew.", code="agent_revoked")
        state = HostAgentState.objects.select_for_update().get(pk=row.pk)
        state.connection_owner, state.connection_token, state.connected_at = owner, token, now
        _note_said(row, said or {})
        _heard(row, state, now)
        state.save()


def seen(*, connections: Mapping[UUID, str], figures: Mapping[UUID, Figures] | None = None) -> set[UUID]:
    """Note that these connections live. Call it for all of a process together, every few seconds.

    Args:
        connections: agent id -> token of its connection.

    Returns:
        Ids of the agents whose connection counts no more: revoked, removed (the server too), or replaced by a newer
        one. Cut them.

    Emits: worker.online and agent.status for those that had been taken for silent.
    """
    now = timezone.now()
    rows = HostAgentState.objects.filter(pk__in=list(connections), agent__deleted_at__isnull=True)
    rows = rows.filter(agent__registration=Registration.APPROVED)
    found = {key: (token, online) for key, token, online in rows.values_list("pk", "connection_token", "is_online")}
    valid = {key for key, token in connections.items() if key in found and found[key][0] == token}
    HostAgentState.objects.filter(pk__in=[key for key in valid if found[key][1]]).update(last_seen_at=now)
    back = [key for key in valid if not found[key][1]]
    for key in back:
        with transaction.atomic():
            agent, state = _locked(key)
            if state.connection_token == connections[key]:
                _heard(agent, state, now)
                state.save()
    for key, load in (figures or {}).items():
        if key in valid:
            HostAgentState.objects.filter(pk=key).update(
                cpu_percent=load.cpu, memory_percent=load.memory, disk_percent=load.disk
            )
    return set(connections) - valid


def disconnected(*, agent_id: UUID, token: str) -> None:
    """Note that a connection is gone. The agent counts as offline once it has been silent for long enough."""
    HostAgentState.objects.filter(pk=agent_id, connection_token=token).update(
        connection_owner="", connection_token="", connected_at=None
    )


def note_contact(*, agent: HostAgent, figures: Figures) -> None:
    """Note that a worker was heard without a connection: its heartbeat over HTTP.

    Emits: worker.online and agent.status, where the agent was not there.
    """
    with transaction.atomic():
        row, state = _locked(agent.pk)
        state.cpu_percent, state.memory_percent, state.disk_percent = figures.cpu, figures.memory, figures.disk
        if row.is_approved:
            _heard(row, state, timezone.now())
        state.save()


def mark_silent_agents(*, now: datetime | None = None) -> int:
    """Mark agents offline that were silent for three intervals, at least 60 s.

    Returns:
        How many; call again while it is `SWEEP_ROWS`.

    Emits: worker.offline and agent.status, one an agent.
    """
    now = now or timezone.now()
    border = silence_border(now)
    silent = HostAgentState.objects.filter(is_online=True, last_seen_at__lt=border)
    ids = list(silent.order_by("last_seen_at").values_list("pk", flat=True)[:SWEEP_ROWS])
    for key in ids:
        with transaction.atomic():
            agent, state = _locked(key)
            # Read again under the lock: it may have been heard in between.
            if state.is_online and state.last_seen_at and state.last_seen_at < border:
                go_offline(agent, state, now)
                state.save()
    return len(ids)


def go_offline(agent: HostAgent, state: HostAgentState, now: datetime) -> None:
    """Mark an agent offline. The caller has locked and saves the state.

    Emits: worker.offline and, where the agent is trusted, agent.status.
    """
    state.is_online, state.offline_since = False, now
    last = state.last_seen_at.isoformat() if state.last_seen_at else None
    tell("worker.offline", agent, system("agents"), data={"last_seen": last}, level="warning")
    if agent.is_approved:
        tell_status(agent, system("agents"), status="offline", former="online")


def _heard(agent: HostAgent, state: HostAgentState, now: datetime) -> None:
    state.last_seen_at = now
    if not state.is_online:
        state.is_online, state.offline_since = True, None
        tell("worker.online", agent, system("agents"), data={"last_seen": now.isoformat()})
        tell_status(agent, system("agents"), status="online", former="offline")


def _note_said(agent: HostAgent, said: Mapping[str, str]) -> None:
    changed = []
    for name in _SAID:
        limit = getattr(HostAgent._meta.get_field(name), "max_length", 0)
        text = "".join(letter for letter in str(said.get(name) or "") if letter.isprintable())[:limit]
        if text and text != getattr(agent, name):
            setattr(agent, name, text)
            changed.append(name)
    if changed:
        agent.save(update_fields=changed)


def _locked(agent_id: UUID) -> tuple[HostAgent, HostAgentState]:
    agent = HostAgent.objects.select_related("server").select_for_update(of=("self",)).get(pk=agent_id)
    state = HostAgentState.objects.select_for_update().get(pk=agent_id)
    return agent, state
