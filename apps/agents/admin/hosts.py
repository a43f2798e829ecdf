"""Host agents in the console: which are there, their certificates, revoking, and the line that installs one."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.agents import selectors, services
from apps.agents.admin.common import install_page, status_badge
from apps.agents.admin.forms import HostAgentForm, NewHostForm
from apps.agents.keys import grouped
from apps.agents.models import EnrolmentRequest, HostAgent
from apps.agents.states import Enrolment, Registration
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.templatetags.console import ago

_SHOWN_WAITING = 20


def _revoke(request: HttpRequest, row: HostAgent, note: str) -> str:
    services.revoke_agent(actor=require(request, "agents:revoke"), agent=row, reason=note)
    return f"{row.name} is revoked: its connection is cut and its certificates count no more."


class StatusFilter(admin.SimpleListFilter):
    """Agents by their status."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the statuses."""
        words = {"pending": "Waiting for their host"}
        return [(one, words.get(one, one.capitalize())) for one in selectors.STATUSES]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the status chosen."""
        return selectors.matching(queryset, status=str(self.value())) if self.value() else queryset


@admin.register(HostAgent)
class HostAgentAdmin(ConsoleAdmin):
    """The agents of hosts."""

    codes: ClassVar = {
        "view": "agents:view",
        "add": "agents:manage",
        "change": "agents:manage",
        "delete": "agents:manage",
    }
    subject_kind = "agent"
    list_title = "Host agents"
    intro = (
        "Small programs on your machines that send metrics and logs and run commands. Each holds a key of its own; "
        "it is let in once somebody has compared its fingerprint."
    )
    add_label = "Add a host"
    empty: ClassVar = (
        "deployed_code",
        "No host agent yet",
        "Add a host: you get a line to run on it. It then asks to be let in and shows up here.",
    )
    form_class = NewHostForm
    list_display = ("agent", "status", "version", "last_seen", "certificate", "system")
    list_filter = (StatusFilter,)
    search_fields = ("server__name", "server__slug", "hostname")
    search_help_text = "Name or host name"
    ordering = ("server__name", "server__id")
    live_events = "agent.* worker.*"
    list_before_rows = "console/partials/waiting_hosts.html"
    list_actions_template = "console/partials/host_agent_actions.html"
    detail_template = "console/host_agent.html"
    transitions = (
        Transition(
            "revoke",
            "Revoke",
            "block",
            "agents:revoke",
            _revoke,
            offered=lambda row: row.registration in (Registration.APPROVED, Registration.PENDING),
            ask="Its connection is cut at once and its certificates count no more. Revoke it?",
            note=True,
            tone="danger",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the agents with server, state and the end of their certificate."""
        return selectors.with_end(super().get_queryset(request))

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the hosts that wait, and where tokens are made."""
        context: dict[str, Any] = {"tokens_url": "", "waiting": []}
        if may(request, "agents:approve"):
            context["tokens_url"] = reverse("admin:agents_enrolmenttoken_changelist")
        if may(request, "agents:manage"):
            rows = list(selectors.waiting_requests(require(request, "agents:manage"))[: _SHOWN_WAITING + 1])
            context["waiting"] = [(row, grouped(row.fingerprint)) for row in rows[:_SHOWN_WAITING]]
            context["more_waiting"] = len(rows) > _SHOWN_WAITING
            context["may_approve"] = may(request, "agents:approve")
            context["requests_url"] = reverse("admin:agents_enrolmentrequest_changelist")
        return context

    def row_tone(self, row: HostAgent) -> str:
        """Mark what is offline, and what is trusted no more."""
        status = selectors.status_of(row)
        return {"offline": "crit", "revoked": "muted", "pending": "muted", "rejected": "muted"}.get(status, "")

    @column("Agent", order="server__name")
    def agent(self, row: HostAgent) -> SafeString:
        """Show the name and what the host calls itself."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.hostname or row.slug)

    @column("Status", css="tight")
    def status(self, row: HostAgent) -> SafeString:
        """Show whether it is there."""
        return status_badge(row)

    @column("Version", order="version", css="tight quiet")
    def version(self, row: HostAgent) -> str:
        """Show which program runs there."""
        return row.version or "–"

    @column("Last seen", order="state__last_seen_at", css="tight")
    def last_seen(self, row: HostAgent) -> Any:
        """Show when it was heard last."""
        return ago(row.state.last_seen_at)

    @column("Certificate ends", css="tight quiet")
    def certificate(self, row: HostAgent) -> Any:
        """Show when its certificate ends; it renews it by itself."""
        return ago(row.certificate_ends_at, "–")  # type: ignore[attr-defined]

    @column("System", css="wide quiet")
    def system(self, row: HostAgent) -> str:
        """Show what the host runs."""
        return " ".join(part for part in (row.os, row.architecture) if part) or "–"

    # --- forms -------------------------------------------------------------------------------------------------------

    def form_for(self, request: HttpRequest, row: Any) -> Any:
        """Return the form of a new host, or that of an agent."""
        return NewHostForm if row is None else HostAgentForm

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows."""
        if row is None:
            return {name: text for name, text in request.GET.items() if name in ("server", "name")}
        return {"name": row.name, "group": row.group, "max_agents": row.max_agents}

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add an agent and show the line that installs it."""
        agent, token = services.create_host_agent(
            actor=require(request, "agents:manage"),
            name=data["name"],
            slug=data["server"],
            tags=[] if data["server"] else data["tags"],
        )
        return self._install(request, agent, token)

    def update(self, request: HttpRequest, row: HostAgent, data: dict[str, Any]) -> HostAgent:
        """Change an agent."""
        return services.update_host_agent(actor=require(request, "agents:manage"), agent=row, changes=data)

    def remove(self, request: HttpRequest, row: HostAgent) -> None:
        """Remove an agent."""
        services.delete_host_agent(actor=require(request, "agents:manage"), agent=row)

    def delete_warning(self, row: HostAgent) -> str:
        """Say what goes with it."""
        return (
            "Its connection is cut and its certificates count no more. The server stays with what it measured; "
            "one that came with the agent and never sent anything goes too."
        )

    # --- pages -------------------------------------------------------------------------------------------------------

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return what the buttons of its page do."""
        return [("<str:object_id>/token/", "token", self.token_view)]

    def token_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a token for the host of this agent and show the line that installs it."""
        actor = require(request, "agents:manage")
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(row))
        return self._install(request, row, services.make_agent_token(actor=actor, agent=row))

    def _install(self, request: HttpRequest, agent: HostAgent, token: str) -> HttpResponse:
        context = self.page_context(request, title=f"Install the agent on {agent.name}", done_url=self.page_of(agent))
        return install_page(request, context, token=token, agent=agent)

    def detail_context(self, request: HttpRequest, row: HostAgent) -> dict[str, Any]:
        """Return how it stands, its key and certificates, and a host that waits for its approval."""
        waiting = None
        if may(request, "agents:manage"):
            rows = EnrolmentRequest.objects.filter(agent=row, status=Enrolment.PENDING)
            waiting = rows.order_by("-requested_at").first()
        certificates = list(row.certificates.order_by("-not_before", "-not_after")[:10])
        now = timezone.now()
        return {
            "status": status_badge(row),
            "fingerprint": grouped(row.fingerprint),
            "certificates": [(one, _standing(one, now)) for one in certificates],
            "waiting": waiting,
            "waiting_fingerprint": grouped(waiting.fingerprint) if waiting else "",
            "may_approve": may(request, "agents:approve"),
            "may_install": may(request, "agents:manage"),
            "token_url": self.path_to("token", row),
            "server_url": reverse("admin:fleet_server_detail", args=[row.server_id])
            if may(request, "servers:view")
            else "",
        }


def _standing(certificate: Any, now: Any) -> str:
    if certificate.revoked_at:
        return "revoked"
    return "ended" if certificate.not_after <= now else "valid"


def _waiting_badge(request: HttpRequest) -> str:
    if not may(request, "agents:manage"):
        return ""
    return str(EnrolmentRequest.objects.filter(status=Enrolment.PENDING).count() or "")


def _on_server(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    agent = selectors.with_end(HostAgent.objects.current().filter(server=row)).first()
    if agent is None:
        if row.is_local or not may(request, "agents:manage"):
            return None
        return {"add_url": f"{reverse('admin:agents_hostagent_add')}?server={row.slug}"}
    return {
        "agent": agent,
        "status": status_badge(agent),
        "url": reverse("admin:agents_hostagent_detail", args=[agent.pk]),
    }


subject_panels.register(
    "host_agent", SubjectPanel(("server",), "console/panels/host_agent.html", _on_server, "agents:view")
)
navigate(
    WATCH,
    12,
    "Host agents",
    icon="deployed_code",
    url="admin:agents_hostagent_changelist",
    code="agents:view",
    badge=_waiting_badge,
    badge_tone="info",
)
