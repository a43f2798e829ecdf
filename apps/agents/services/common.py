"""What the services share: how facts name an agent, and locked rows."""

from typing import Any

from apps.agents.models import HostAgent
from apps.agents.states import REGISTRATION, Registration
from apps.core.errors import NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.principals import Principal

AUDITED = ("registration", "group", "max_agents", "cpu_cores", "memory_total_mb", "os_info", "ip_address")


def subject_of(agent: HostAgent) -> Subject:
    """Return the agent as the subject of an event."""
    return Subject("agent", str(agent.pk), agent.name)


def facts_of(agent: HostAgent) -> dict[str, Any]:
    """Return what every fact about the agent says."""
    return {
        "agent_id": agent.slug,
        "server_id": str(agent.server_id),
        "name": agent.name,
        "hostname": agent.hostname,
    }


def audited(agent: HostAgent) -> dict[str, Any]:
    """Return what the audit trail keeps of the agent."""
    return {"name": agent.name, "slug": agent.slug, **{field: getattr(agent, field) for field in AUDITED}}


def tell(name: str, agent: HostAgent, actor: Principal, *, data: dict[str, Any] | None = None, **more: Any) -> None:
    """Emit a fact about an agent."""
    emit(
        name,
        subject=subject_of(agent),
        actor=actor,
        data={**facts_of(agent), **(data or {})},
        server_id=agent.server_id,
        **more,
    )


def tell_status(agent: HostAgent, actor: Principal, *, status: str, former: str) -> None:
    """Emit `agent.status`."""
    emit(
        "agent.status",
        subject=subject_of(agent),
        actor=actor,
        data={
            "agent_id": agent.slug,
            "server_id": str(agent.server_id),
            "name": agent.name,
            "kind": agent.kind,
            "status": status,
            "former": former,
        },
        server_id=agent.server_id,
    )


def move_registration(agent: HostAgent, after: Registration, actor: Principal) -> None:
    """Move a locked agent that was never let in between pending and rejected.

    Raises:
        Conflict: it can't become that (409).

    Emits: agent.status
    """
    REGISTRATION.check(agent.registration, after)
    former, agent.registration = agent.registration, after
    agent.revision += 1
    agent.save()
    tell_status(agent, actor, status=after, former=former)


def locked(agent: HostAgent, revision: int | None = None) -> HostAgent:
    """Return the agent's row, locked, as it is now.

    Raises:
        NotFound: it was removed meanwhile (404).
        PreconditionFailed: it was changed since it was read (412).
    """
    rows = HostAgent.objects.current().select_related("server").select_for_update(of=("self",))
    row: HostAgent | None = rows.filter(pk=agent.pk).first()
    if row is None:
        raise NotFound("There is no such agent any more.")
    if revision is not None and row.revision != revision:
        raise PreconditionFailed("Somebody changed this since you read it; read it again and repeat your change.")
    return row
