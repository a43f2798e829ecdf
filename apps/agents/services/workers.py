"""A host agent as a worker: registered, heard, approved."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.agents.models import EnrolmentRequest, HostAgent
from apps.agents.services.common import locked, move_registration, tell
from apps.agents.services.enrolment import approve_request, reject_request
from apps.agents.services.hosts import EDITABLE, create_host_agent, revoke_agent, update_host_agent
from apps.agents.services.presence import Figures, note_contact
from apps.agents.states import Enrolment, Registration
from apps.core.errors import Invalid
from apps.core.principals import Principal


def register_worker(*, actor: Principal, name: str, values: Mapping[str, Any]) -> tuple[HostAgent, str]:
    """Register a worker; the same name again changes it.

    Args:
        values: hostname, ip_address, max_agents, cpu_cores, memory_total_mb, os_info.

    Returns:
        The agent, and the token that enrols its host; "" where it was known.

    Raises:
        Invalid: a value is wrong (422).

    Emits: agent.created or agent.updated

    Source: contract row POST /workers/register.
    """
    given = {field: values[field] for field in EDITABLE if values.get(field) is not None}
    known = HostAgent.objects.current().select_related("server").filter(server__name=name.strip())
    agent = known.order_by("server_id").first() if name.strip() else None
    if agent is None:
        return create_host_agent(actor=actor, name=name, values=given)
    return update_host_agent(actor=actor, agent=agent, changes=given), ""


def note_heartbeat(*, agent: HostAgent, figures: Figures) -> None:
    """Note what a worker says of its load. It counts as there only while it is approved.

    Emits: worker.online and agent.status, where it was not there.

    Source: contract row POST /workers/{id}/heartbeat.
    """
    note_contact(agent=agent, figures=figures)


def approve_worker(
    *, actor: Principal, agent: HostAgent, is_approved: bool | None = None, group: str | None = None
) -> HostAgent:
    """Approve a worker or take that back.

    A host that waits is let in; one that has yet to ask is let in when it does. `False` refuses a waiting host and
    revokes an approved one.

    Raises:
        NotFound: it was removed (404). Invalid: neither is given (422).

    Emits: agent.approved, agent.enrolled, agent.rejected, agent.revoked, agent.updated, each where it is so.

    Source: contract row PATCH /admin/workers/{id}/approve.
    """
    if is_approved is None and group is None:
        raise Invalid({"is_approved": "say whether it is approved"})
    with transaction.atomic():
        if group is not None:
            agent = update_host_agent(actor=actor, agent=agent, changes={"group": group})
        if is_approved is None:
            return agent
        waiting = EnrolmentRequest.objects.filter(agent=agent, status=Enrolment.PENDING).order_by("-requested_at")
        request = waiting.first()
        if is_approved:
            if request is not None:
                return approve_request(actor=actor, request_id=request.pk)
            if agent.registration != Registration.APPROVED:
                _set_preapproved(agent, actor, True)
        else:
            if request is not None:
                reject_request(actor=actor, request_id=request.pk)
            if agent.registration == Registration.APPROVED:
                return revoke_agent(actor=actor, agent=agent)
            _set_preapproved(agent, actor, False)
    return HostAgent.objects.select_related("server", "state").get(pk=agent.pk)


def _set_preapproved(agent: HostAgent, actor: Principal, value: bool) -> None:
    row = locked(agent)
    if value and row.registration == Registration.REJECTED:
        move_registration(row, Registration.PENDING, actor)
    if row.is_preapproved == value:
        return
    row.is_preapproved = value
    row.revision += 1
    row.save()
    tell("agent.updated", row, actor, before={"is_preapproved": not value}, after={"is_preapproved": value})
