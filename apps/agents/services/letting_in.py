"""What letting a host in does: its server, its agent, its key, its certificate."""

from django.utils import timezone

from apps.agents.models import AgentCertificate, EnrolmentRequest, HostAgent, HostAgentState
from apps.agents.services.authority import sign_for
from apps.agents.services.common import locked, tell
from apps.agents.states import REGISTRATION, Enrolment, Registration
from apps.core.errors import Conflict
from apps.core.principals import Principal
from apps.fleet.services import create_server


def let_in(request: EnrolmentRequest, *, actor: Principal, how: str) -> HostAgent:
    """Make the request's key that of its agent and sign a certificate. Call it in the transaction that decides.

    Args:
        how: "person", "token" (it was approved beforehand) or "key" (an approved host came back).

    Emits: agent.enrolled; server.created where the server is new.
    """
    now = timezone.now()
    agent = _agent_of(request, actor)
    former, before = agent.fingerprint, agent.registration
    taken = HostAgent.objects.current().filter(fingerprint=request.fingerprint).exclude(pk=agent.pk)
    if taken.exists():
        raise Conflict("Another agent has this key by now; let the host make a new one.", code="key_taken")
    if agent.registration != Registration.APPROVED:
        REGISTRATION.check(agent.registration, Registration.APPROVED)
    agent.registration, agent.is_preapproved = Registration.APPROVED, False
    agent.public_key, agent.fingerprint = request.public_key, request.fingerprint
    agent.hostname, agent.architecture, agent.os = request.hostname, request.architecture, request.os
    agent.address, agent.registered_at, agent.approved_by = request.address, now, actor.name[:255]
    agent.revision += 1
    agent.save()
    if former and former != agent.fingerprint:
        # Its old key counts no more: two machines never speak for one server.
        AgentCertificate.objects.filter(agent=agent, revoked_at=None).update(revoked_at=now)
        HostAgentState.objects.filter(agent=agent).update(connection_owner="", connection_token="")
    certificate, _ = sign_for(agent)
    request.agent, request.certificate = agent, certificate
    request.status, request.decided_at, request.decided_by = Enrolment.APPROVED, now, actor.name[:255]
    request.save()
    tell(
        "agent.enrolled",
        agent,
        actor,
        data={
            "fingerprint": agent.fingerprint,
            "serial": certificate.serial,
            "not_after": certificate.not_after.isoformat(),
            "how": how,
        },
        before={"registration": before, "fingerprint": former},
        after={"registration": agent.registration, "fingerprint": agent.fingerprint},
        note=f"Asked with the token “{request.token_name}”." if request.token_name else "",
    )
    return agent


def _agent_of(request: EnrolmentRequest, actor: Principal) -> HostAgent:
    if request.agent is not None:
        return locked(request.agent)
    known = HostAgent.objects.current().filter(fingerprint=request.fingerprint).first()
    if known is not None:
        return locked(known)
    server = create_server(actor=actor, name=request.name, host=request.hostname, tags=request.tags)
    agent = HostAgent(server=server, made_server=True)
    agent.save(force_insert=True)
    HostAgentState.objects.create(agent=agent)
    return agent
