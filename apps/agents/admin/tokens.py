"""Enrolment tokens in the console: made, shown once with the install line, removed."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.agents import services
from apps.agents.admin.common import install_page
from apps.agents.admin.forms import EnrolmentTokenForm
from apps.agents.models import EnrolmentToken
from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.templatetags.console import ago, badge, exact


def _standing(row: EnrolmentToken) -> SafeString:
    if row.expires_at <= timezone.now():
        return badge("ended", "Has ended")
    if row.used >= row.max_uses:
        return badge("ended", "Used up")
    return badge("valid", "Usable")


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(ConsoleAdmin):
    """What lets hosts ask."""

    codes: ClassVar = {"view": "agents:approve", "add": "agents:approve", "delete": "agents:approve"}
    subject_kind = "enrolment_token"
    list_title = "Enrolment tokens"
    intro = "With a token a host may ask to be let in. A token is shown once; make a new one instead of keeping it."
    add_label = "Add hosts"
    empty: ClassVar = (
        "vpn_key",
        "No enrolment token yet",
        "Make one for one host or many: you get the line to run on them.",
    )
    form_class = EnrolmentTokenForm
    list_display = ("token", "standing", "uses", "ends", "for_whom", "made")
    search_fields = ("name", "hint")
    search_help_text = "Name or how it begins"
    ordering = ("-created_at", "-id")
    live_events = "enrolment_token.* agent.pending agent.enrolled"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the tokens with the agents they are bound to."""
        return super().get_queryset(request).select_related("agent__server")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer no: a token is made anew."""
        return False

    @column("Token", order="name")
    def token(self, row: EnrolmentToken) -> SafeString:
        """Show the name and how the token begins."""
        return format_html("{}<span class='sub'><code>{}…</code></span>", row.name, row.hint)

    @column("Standing", css="tight")
    def standing(self, row: EnrolmentToken) -> SafeString:
        """Show whether hosts can ask with it."""
        return _standing(row)

    @column("Hosts", order="used", css="figure")
    def uses(self, row: EnrolmentToken) -> str:
        """Show how many hosts asked."""
        return f"{row.used} of {row.max_uses}"

    @column("Ends", order="expires_at", css="tight")
    def ends(self, row: EnrolmentToken) -> Any:
        """Show when it ends."""
        return ago(row.expires_at)

    @column("Hosts are", css="quiet")
    def for_whom(self, row: EnrolmentToken) -> str:
        """Show what it lets in, and how."""
        if row.agent is not None:
            return f"that of {row.agent.name} alone"
        return "let in at once" if row.pre_approved else "approved by a person"

    @column("Made", order="created_at", css="quiet")
    def made(self, row: EnrolmentToken) -> SafeString:
        """Show when and by whom."""
        return format_html("{} by {}", ago(row.created_at), row.created_by)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Make a token and show the install line."""
        values = {name: data[name] for name in ("name", "max_uses", "tags", "pre_approved", "expires_at")}
        row, token = services.create_token(actor=require(request, "agents:approve"), **values)
        context = self.page_context(request, title="Install the agent", done_url=self.path_to("changelist"))
        return install_page(request, context, token=token, row=row)

    def remove(self, request: HttpRequest, row: EnrolmentToken) -> None:
        """Remove a token."""
        services.delete_token(actor=require(request, "agents:approve"), token_id=row.pk)

    def delete_warning(self, row: EnrolmentToken) -> str:
        """Say what goes with it."""
        return "No host can ask with it any more. Hosts that asked before stay as they are."

    def facts(self, request: HttpRequest, row: EnrolmentToken) -> list[tuple[str, Any]]:
        """Return the token without itself."""
        return [
            ("Standing", _standing(row)),
            ("Begins with", format_html("<code>{}…</code>", row.hint)),
            ("Hosts", self.uses(row)),
            ("Used last", ago(row.last_used_at)),
            ("Ends", exact(row.expires_at)),
            ("Hosts are", self.for_whom(row)),
            ("Tags", ", ".join(row.tags) or None),
            ("Made", self.made(row)),
        ]


navigate(
    ADMINISTER,
    32,
    "Enrolment tokens",
    icon="vpn_key",
    url="admin:agents_enrolmenttoken_changelist",
    code="agents:approve",
)
