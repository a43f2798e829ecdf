"""Host agents by hand: added, changed, revoked, removed."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.agents.models import AgentCertificate, EnrolmentRequest, EnrolmentToken, HostAgent, HostAgentState
from apps.agents.services.common import audited, locked, move_registration, tell, tell_status
from apps.agents.services.presence import go_offline
from apps.agents.services.tokens import create_token
from apps.agents.states import REGISTRATION, Enrolment, Registration
from apps.core.errors import Conflict, Invalid
from apps.core.principals import Principal
from apps.fleet.models import Server
from apps.fleet.services import create_server, delete_server, update_server

EDITABLE = ("group", "max_agents", "cpu_cores", "memory_total_mb", "os_info", "ip_address", "hostname")


def create_host_agent(
    *,
    actor: Principal,
    name: str = "",
    slug: str = "",
    tags: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
) -> tuple[HostAgent, str]:
    """Add a host agent before its host asks.

    Args:
        slug: of a server that has no agent yet, or for a new one; made from the name where empty.
        name: of a new server; its slug where empty.
        values: any of `EDITABLE`.

    Returns:
        The agent, and a token for one use within a day that enrols its host and no other; shown once.

    Raises:
        Invalid: a value is wrong (422). Conflict: the server has an agent, or is the platform's own host (409).

    Emits: agent.created, enrolment_token.created; server.created where the server is new.

    Source: contract row POST /agents.
    """
    if not name.strip() and not slug:
        raise Invalid({"name": "must not be empty"})
    with transaction.atomic():
        server = Server.objects.filter(slug=slug).first() if slug else None
        is_new = server is None
        if server is None:
            server = create_server(actor=actor, name=name.strip() or slug, slug=slug, tags=tags)
        elif server.is_local:
            raise Conflict("This is the platform's own host, which watches itself.", code="local_server")
        elif server.host_agents.filter(deleted_at__isnull=True).exists():
            raise Conflict(f"{server.name} has an agent already.", code="agent_exists")
        agent = HostAgent(server=server, made_server=is_new)
        for field in EDITABLE:
            if (values or {}).get(field) is not None:
                setattr(agent, field, (values or {})[field])
        try:
            with transaction.atomic():
                agent.save(force_insert=True)
        except IntegrityError as error:  # somebody was faster
            raise Conflict(f"{server.name} has an agent already.", code="agent_exists") from error
        HostAgentState.objects.create(agent=agent)
        tell("agent.created", agent, actor, after=audited(agent))
        token = make_agent_token(actor=actor, agent=agent)
    return agent, token


def make_agent_token(*, actor: Principal, agent: HostAgent) -> str:
    """Return a new token for one use within a day, which enrols the host of this agent and no other.

    Earlier tokens of the agent count no more.

    Raises:
        NotFound: it was removed meanwhile (404).

    Emits: enrolment_token.created; agent.status where its host had been refused
    """
    with transaction.atomic():
        row = locked(agent)
        if row.registration == Registration.REJECTED:
            move_registration(row, Registration.PENDING, actor)
        EnrolmentToken.objects.filter(agent=row).delete()
        return create_token(actor=actor, name=f"{row.name}"[:100], agent=row)[1]


def update_host_agent(
    *, actor: Principal, agent: HostAgent, changes: Mapping[str, Any], revision: int | None = None
) -> HostAgent:
    """Change a host agent.

    Args:
        changes: name and tags (of its server), group, max_agents, cpu_cores, memory_total_mb, os_info, ip_address,
            hostname; others are ignored.

    Raises:
        NotFound: it was removed (404). PreconditionFailed: it was changed since (412). Invalid: an empty name (422).

    Emits: agent.updated and server.updated, each where something changed.
    """
    with transaction.atomic():
        row = locked(agent, revision)
        before = audited(row)
        of_server = {name: changes[name] for name in ("name", "tags") if name in changes}
        if of_server:
            row.server = update_server(actor=actor, server=row.server, changes=of_server)
        for field in EDITABLE:
            if field in changes:
                setattr(row, field, changes[field])
        after = audited(row)
        changed = [field for field in after if before[field] != after[field]]
        if changed or "hostname" in changes:
            row.revision += 1
            row.save()
        if changed:
            tell(
                "agent.updated",
                row,
                actor,
                before={field: before[field] for field in changed},
                after={field: after[field] for field in changed},
            )
    return row


def revoke_agent(*, actor: Principal, agent: HostAgent, reason: str = "") -> HostAgent:
    """Trust an agent no more, at once: its certificates are denied, its connection is cut, its tokens are gone.

    It comes back only with a new token and after somebody has approved it anew.

    Raises:
        NotFound: it was removed (404). Conflict: it is revoked already (409).

    Emits: agent.revoked, agent.status; worker.offline where it was there.

    Source: contract row POST /agents/{id}/revoke.
    """
    now = timezone.now()
    with transaction.atomic():
        row = locked(agent)
        REGISTRATION.check(row.registration, Registration.REVOKED)
        former = row.registration
        row.registration, row.is_preapproved = Registration.REVOKED, False
        row.revision += 1
        row.save()
        AgentCertificate.objects.filter(agent=row, revoked_at=None).update(revoked_at=now)
        EnrolmentToken.objects.filter(agent=row).delete()
        EnrolmentRequest.objects.filter(agent=row, status=Enrolment.PENDING).update(
            status=Enrolment.REJECTED, decided_at=now, decided_by=actor.name[:255], reason="The agent was revoked."
        )
        state = HostAgentState.objects.select_for_update().get(agent=row)
        state.connection_owner = state.connection_token = ""
        was_online, state.connected_at = state.is_online, None
        tell(
            "agent.revoked",
            row,
            actor,
            level="warning",
            data={"fingerprint": row.fingerprint, "reason": reason.strip()[:200]},
            before={"registration": former},
            after={"registration": row.registration},
        )
        if was_online:
            go_offline(row, state, now)
        state.save()
        tell_status(row, actor, status="revoked", former="online" if was_online else "offline")
    return row


def delete_host_agent(*, actor: Principal, agent: HostAgent, revision: int | None = None) -> None:
    """Remove an agent. Its server stays with what it measured; one that came with it and never measured goes too.

    Raises:
        NotFound: it was removed before (404). PreconditionFailed: it was changed since (412).

    Emits: agent.deleted; agent.revoked where it was approved; server.deleted where the server goes.

    Source: contract row DELETE /agents/{id}.
    """
    with transaction.atomic():
        row = locked(agent, revision)
        if row.is_approved:
            row = revoke_agent(actor=actor, agent=row, reason="The agent was removed.")
        row.deleted_at = timezone.now()
        row.revision += 1
        row.save()
        EnrolmentToken.objects.filter(agent=row).delete()
        EnrolmentRequest.objects.filter(agent=row, status=Enrolment.PENDING).update(
            status=Enrolment.REJECTED,
            decided_at=row.deleted_at,
            decided_by=actor.name[:255],
            reason="The agent was removed.",
        )
        tell("agent.deleted", row, actor, before=audited(row))
        server = row.server
        if row.made_server and server.ssh_connection_id is None and server.state.sample_at is None:
            delete_server(actor=actor, server=server)
