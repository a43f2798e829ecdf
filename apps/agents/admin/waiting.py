"""Hosts that asked to be let in: compare the fingerprint, then let them in or refuse them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.agents import selectors, services
from apps.agents.keys import grouped
from apps.agents.models import EnrolmentRequest
from apps.agents.states import Enrolment
from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.templatetags.console import ago, badge, exact

_WORDS = {"expired": "Ended undecided", "approved": "Let in", "rejected": "Refused"}
_TONES = {"expired": "unknown"}


def _approve(request: HttpRequest, row: EnrolmentRequest, note: str) -> HttpResponse:
    agent = services.approve_request(actor=require(request, "agents:approve"), request_id=row.pk)
    return HttpResponseRedirect(reverse("admin:agents_hostagent_detail", args=[agent.pk]))


def _reject(request: HttpRequest, row: EnrolmentRequest, note: str) -> str:
    services.reject_request(actor=require(request, "agents:approve"), request_id=row.pk, reason=note)
    return f"{row.name} is refused."


@admin.register(EnrolmentRequest)
class EnrolmentRequestAdmin(ConsoleAdmin):
    """Requests of hosts to be let in."""

    codes: ClassVar = {"view": "agents:manage"}
    subject_kind = "enrolment_request"
    list_title = "Hosts that asked to be let in"
    intro = "Every request with the key it was made with, and what became of it."
    empty: ClassVar = (
        "how_to_reg",
        "No host has asked yet",
        "Add a host under “Host agents” and run the line you get on it; its request shows up here.",
    )
    list_display = ("host", "standing", "fingerprint_start", "asked", "token_used")
    list_filter = ("status",)
    search_fields = ("name", "hostname", "fingerprint", "address")
    search_help_text = "Name, address or fingerprint"
    ordering = ("-requested_at", "-id")
    live_events = "agent.pending agent.approved agent.rejected agent.enrolled"
    detail_template = "console/waiting_host.html"
    transitions = (
        Transition(
            "approve",
            "Let it in",
            "verified_user",
            "agents:approve",
            _approve,
            offered=lambda row: row.status == Enrolment.PENDING,
            ask="Have you compared the fingerprint with the one that the host prints?",
            tone="primary",
        ),
        Transition(
            "reject",
            "Refuse",
            "block",
            "agents:approve",
            _reject,
            offered=lambda row: row.status == Enrolment.PENDING,
            ask="The host gets nothing, and its token lets this key ask no more. Refuse it?",
            note=True,
            tone="danger",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the requests with the agents they are about."""
        return super().get_queryset(request).select_related("agent__server")

    def row_tone(self, row: EnrolmentRequest) -> str:
        """Mark those that wait."""
        return "warn" if row.status == Enrolment.PENDING else ""

    def title_of(self, row: EnrolmentRequest) -> str:
        """Return the name that the host gave."""
        return row.name

    @column("Host", order="name")
    def host(self, row: EnrolmentRequest) -> SafeString:
        """Show what it calls itself, and from where it asked."""
        return format_html("{}<span class='sub'>{} from {}</span>", row.name, row.hostname, row.address or "unknown")

    @column("Standing", order="status", css="tight")
    def standing(self, row: EnrolmentRequest) -> SafeString:
        """Show what became of it."""
        return badge(row.status, _WORDS.get(row.status, ""), _TONES.get(row.status, ""))

    @column("Fingerprint", css="quiet")
    def fingerprint_start(self, row: EnrolmentRequest) -> SafeString:
        """Show how the fingerprint begins."""
        return format_html("<code>{} …</code>", grouped(row.fingerprint[:16]))

    @column("Asked", order="requested_at", css="tight")
    def asked(self, row: EnrolmentRequest) -> Any:
        """Show when it asked."""
        return ago(row.requested_at)

    @column("Token", css="quiet")
    def token_used(self, row: EnrolmentRequest) -> str:
        """Show which token it had."""
        return row.token_name or "none: a known key"

    def facts(self, request: HttpRequest, row: EnrolmentRequest) -> list[tuple[str, Any]]:
        """Return what the host said and what became of it."""
        decided = None
        if row.decided_at:
            by = f" by {row.decided_by}" if row.decided_by else ""
            decided = format_html("{}{}{}", ago(row.decided_at), by, f": {row.reason}" if row.reason else "")
        return [
            ("Standing", self.standing(row)),
            ("Host name", row.hostname),
            ("System", " ".join(part for part in (row.os, row.architecture) if part) or None),
            ("Asked", format_html("{} from {}", exact(row.requested_at), row.address or "an unknown address")),
            ("Token", row.token_name or "none: an approved host that came back with its key"),
            ("Tags", ", ".join(row.tags) or None),
            ("Decided", decided),
        ]

    def detail_context(self, request: HttpRequest, row: EnrolmentRequest) -> dict[str, Any]:
        """Return the fingerprint, and which agents it may be."""
        others = selectors.namesakes([row])[str(row.pk)] if row.status == Enrolment.PENDING else []
        return {
            "fingerprint": grouped(row.fingerprint),
            "is_waiting": row.status == Enrolment.PENDING,
            "becomes": row.agent if row.status == Enrolment.PENDING else None,
            "agent_url": reverse("admin:agents_hostagent_detail", args=[row.agent_id])
            if row.agent is not None and row.agent.deleted_at is None
            else "",
            "namesakes": others if row.agent is None else [],
        }
