"""Agents, waiting hosts and tokens, as pages and programs read them."""

from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from apps.agents.models import AgentCertificate, EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.querysets import HostAgentQuerySet
from apps.agents.services.presence import silence_border
from apps.agents.states import Enrolment, Registration
from apps.core.errors import NotFound
from apps.core.principals import Principal
from apps.fleet.querysets import by_ref

#: What an agent's status may be, as the API says it.
STATUSES = ("online", "offline", "pending", "rejected", "revoked")


def agent_list(principal: Principal) -> HostAgentQuerySet:
    """Return the agents the caller may see, by name, with server, state and `certificate_ends_at`."""
    return with_end(HostAgent.objects.visible_to(principal)).order_by("server__name", "server__id")


def with_end(rows: HostAgentQuerySet) -> HostAgentQuerySet:
    """Return agents with server, state and the end of the certificate that counts."""
    newest = AgentCertificate.objects.filter(agent=OuterRef("pk"), revoked_at=None).order_by("-not_after")
    found: HostAgentQuerySet = rows.select_related("server__state", "state").annotate(
        certificate_ends_at=Subquery(newest.values("not_after")[:1])
    )
    return found


def matching(rows: HostAgentQuerySet, *, status: str = "", search: str = "", tags: tuple[str, ...] = ()) -> Any:
    """Return the agents of a status, with words in their names, and with all the tags."""
    if status in ("online", "offline"):
        heard = Q(state__is_online=True, state__last_seen_at__gte=silence_border())
        rows = rows.filter(registration=Registration.APPROVED).filter(heard if status == "online" else ~heard)
    elif status:
        rows = rows.filter(registration=status)
    if search:
        rows = rows.filter(
            Q(server__name__icontains=search) | Q(server__slug__icontains=search) | Q(hostname__icontains=search)
        )
    for word in tags:
        rows = rows.filter(server__tags__name=word)
    return rows


def status_of(agent: HostAgent, border: datetime | None = None) -> str:
    """Return the agent's status as the API says it; while it is approved: is it there?"""
    if agent.registration != Registration.APPROVED:
        return str(agent.registration)
    seen = agent.state.last_seen_at
    return "online" if agent.state.is_online and seen and seen >= (border or silence_border()) else "offline"


def find_agent(ref: str, principal: Principal) -> HostAgent:
    """Return the agent called `ref`: the slug or id of its server.

    Raises:
        NotFound: no such agent among those the caller may see (404).
    """
    agent: HostAgent | None = with_end(HostAgent.objects.visible_to(principal)).called(ref).first()
    if agent is None:
        raise NotFound("There is no such agent, or you may not see it.", details={"agent": ref})
    return agent


def find_reporting_worker(ref: str, principal: Principal) -> HostAgent:
    """Return the worker that the caller may report for: any, or that of the server its key is bound to.

    Raises:
        NotFound: no such worker, or not the caller's (404).
    """
    rows = HostAgent.objects.current().select_related("server", "state").called(ref)
    if principal.bound_kind:
        rows = rows.filter(by_ref(principal.bound_id, "server__")) if principal.bound_kind == "server" else rows.none()
    agent: HostAgent | None = rows.first()
    if agent is None:
        raise NotFound("There is no such worker, or it is not yours.", details={"worker": ref})
    return agent


def percents_of(agent: HostAgent) -> dict[str, float | None]:
    """Return the load of a worker: by its server's newest sample, else as its heartbeat said."""
    state, server = agent.state, agent.server.state
    if server.sample_at is not None:
        return {"cpu": server.cpu, "memory": server.memory, "disk": server.disk}
    return {"cpu": state.cpu_percent, "memory": state.memory_percent, "disk": state.disk_percent}


def worker_totals() -> dict[str, int]:
    """Return the totals of all workers.

    Source: contract row GET /workers/overview.
    """
    approved = Q(registration=Registration.APPROVED)
    online = approved & Q(state__is_online=True, state__last_seen_at__gte=silence_border())
    found = (
        HostAgent.objects.current()
        .order_by()
        .aggregate(
            total_workers=Count("pk", filter=~Q(registration=Registration.REVOKED)),
            online_workers=Count("pk", filter=online),
            pending_workers=Count("pk", filter=Q(registration=Registration.PENDING)),
            total_cpu_cores=Sum("cpu_cores", filter=approved),
            total_memory_mb=Sum("memory_total_mb", filter=approved),
        )
    )
    return {**{name: int(value or 0) for name, value in found.items()}, "total_active_agents": 0}


def status_counts() -> tuple[dict[str, int], int]:
    """Return how many agents have each status, and how many hosts wait to be let in."""
    approved = Q(registration=Registration.APPROVED)
    online = approved & Q(state__is_online=True, state__last_seen_at__gte=silence_border())
    wanted = {"online": online, "offline": approved & ~online}
    wanted |= {status: Q(registration=status) for status in STATUSES if status not in wanted}
    counts = HostAgent.objects.current().order_by()
    found = counts.aggregate(**{status: Count("pk", filter=condition) for status, condition in wanted.items()})
    return found, EnrolmentRequest.objects.filter(status=Enrolment.PENDING).count()


def waiting_requests(principal: Principal) -> QuerySet[EnrolmentRequest]:
    """Return the hosts that wait for approval, the newest first."""
    rows = EnrolmentRequest.objects.visible_to(principal).filter(status=Enrolment.PENDING)
    found: QuerySet[EnrolmentRequest] = rows.select_related("agent__server").order_by("-requested_at", "-id")
    return found


def namesakes(rows: list[EnrolmentRequest]) -> dict[str, list[str]]:
    """Return request id -> names of agents with the same host name: is it one of them, set up anew?"""
    names = {row.hostname for row in rows}
    known: dict[str, list[str]] = {}
    agents = HostAgent.objects.current().filter(hostname__in=names).exclude(hostname="")
    for hostname, name in agents.order_by("server__name").values_list("hostname", "server__name")[:500]:
        known.setdefault(hostname, []).append(name)
    return {str(row.pk): known.get(row.hostname, []) for row in rows}


def tokens(principal: Principal) -> QuerySet[EnrolmentToken]:
    """Return the tokens the caller may see, the newest first."""
    rows: QuerySet[EnrolmentToken] = EnrolmentToken.objects.visible_to(principal)
    return rows.select_related("agent__server").order_by("-created_at", "-id")


def is_usable(token: EnrolmentToken) -> bool:
    """Return whether a host can ask with this token now."""
    return token.used < token.max_uses and token.expires_at > timezone.now()
