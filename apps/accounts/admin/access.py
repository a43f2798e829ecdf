"""API keys and sessions in the console."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts import selectors
from apps.accounts.models import ApiKey, Role, Session
from apps.accounts.services import api_keys, sessions
from apps.core import registries
from apps.core.admin.access import principal_of, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.words import exact
from apps.core.templatetags.console import ago, badge


def _roles() -> list[tuple[str, str]]:
    return [("", "None: bound to one server")] + [(role.name, role.name) for role in Role.objects.all()]


class KeyForm(ConsoleForm):
    """A new key."""

    name = forms.CharField(max_length=100, help_text="What it is for, e.g. “metrics of web-1”.")
    role = forms.ChoiceField(
        choices=_roles, required=False, help_text="What the key may do; never more than you may yourself."
    )
    server_id = forms.CharField(
        required=False,
        label="Server",
        help_text="Slug or id. A key without a role pushes and reads this one server's figures and nothing else.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        label="Valid until",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "class": "wk-short"}),
        help_text="Without an end where empty.",
    )
    in_readers_zone = True


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    """Programs' credentials."""

    codes: ClassVar = {"view": "api_keys:view", "add": "api_keys:create", "delete": "api_keys:delete"}
    list_title = "API keys"
    intro = "Credentials of programs. A key never has more rights than its owner has now, and ends with its owner."
    add_label = "Create key"
    empty: ClassVar = (
        "key",
        "No API key",
        "Create one for a script that calls the API, or for a server that pushes its own figures.",
    )
    form_class = KeyForm
    list_display = ("key", "rights", "owned_by", "used", "until")
    search_fields = ("name", "prefix")
    search_help_text = "Name or beginning of the key"
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the keys that are not revoked and that the person may see."""
        return selectors.live_keys(require(request, "api_keys:view")).select_related("owner")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Change no key: revoke it and make another."""
        return False

    @column("Key", order="name")
    def key(self, row: ApiKey) -> SafeString:
        """Show the name and the public part."""
        return format_html("{}<span class='sub wk-mono'>{}_…</span>", row.name, row.prefix)

    @column("May")
    def rights(self, row: ApiKey) -> str:
        """Show the role or the server it is bound to."""
        if not row.bound_kind:
            return f"role {row.role}"
        kind = registries.subjects.get(row.bound_kind)
        return f"{row.bound_kind} {(kind.find(row.bound_id) if kind else None) or row.bound_id}"

    @column("Owner", order="owner__username")
    def owned_by(self, row: ApiKey) -> str:
        """Show whose it is."""
        return row.owner.username

    @column("Last used", order="last_used_at", css="tight")
    def used(self, row: ApiKey) -> Any:
        """Show when it was used."""
        return ago(row.last_used_at)

    @column("Ends", order="expires_at", css="tight quiet")
    def until(self, row: ApiKey) -> Any:
        """Show when it ends."""
        return ago(row.expires_at, "no end")

    def title_of(self, row: ApiKey) -> str:
        """Return the key's name."""
        return row.name

    def facts(self, request: HttpRequest, row: ApiKey) -> list[tuple[str, Any]]:
        """Return everything but the secret, which nobody has any more."""
        return [
            ("Begins with", f"{row.prefix}_"),
            ("May", self.rights(row)),
            ("Owner", row.owner.username),
            ("Created", exact(row.created_at)),
            ("Last used", ago(row.last_used_at)),
            ("Ends", exact(row.expires_at) or "no end"),
        ]

    def detail_context(self, request: HttpRequest, row: ApiKey) -> dict[str, Any]:
        """Name the button for what it does."""
        return {"delete_label": "Revoke"}

    def create(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Create a key and show it, this once."""
        row, secret = api_keys.create_api_key(actor=require(request, "api_keys:create"), **data)
        context = self.page_context(
            request,
            title=f"Key for {row.name}",
            row=row,
            secret=secret,
            rights=self.rights(row),
            done_url=self.path_to("changelist"),
        )
        response = TemplateResponse(request, "console/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def remove(self, request: HttpRequest, row: ApiKey) -> None:
        """Revoke a key."""
        api_keys.revoke_api_key(key_id=row.pk, actor=require(request, "api_keys:delete"))

    def delete_warning(self, row: ApiKey) -> str:
        """Say what revoking means."""
        return f"Programs that use {row.prefix}_… are refused from their next request on."


def _end(request: HttpRequest, row: Session, note: str) -> str:
    sessions.end_session(session_id=row.pk, actor=require(request, "sessions:delete"))
    return f"The session of {row.user.username} has ended."


@admin.register(Session)
class SessionAdmin(ConsoleAdmin):
    """Logins that count now."""

    codes: ClassVar = {"view": "sessions:view"}
    list_title = "Sessions"
    intro = "Everybody's logins that count now, by browser and by API. An ended one is refused within a second."
    empty: ClassVar = ("login", "No session", "")
    list_display = ("person", "kind_shown", "place", "seen", "since")
    search_fields = ("user__username", "address")
    search_help_text = "User or address"
    ordering = ("-last_seen_at",)
    transitions = (
        Transition("end", "End session", "logout", "sessions:delete", _end, ask="End this session?", tone="danger"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the live sessions that the person may see."""
        return selectors.live_sessions(require(request, "sessions:view"))

    def title_of(self, row: Session) -> str:
        """Return whose session it is."""
        return f"Session of {row.user.username}"

    @column("User", order="user__username")
    def person(self, row: Session) -> str:
        """Show whose it is."""
        return row.user.username

    @column("By", css="tight")
    def kind_shown(self, row: Session) -> SafeString:
        """Show how it was made."""
        second = badge("enabled", "two steps") if row.mfa_verified else ""
        return format_html("{} {}", row.get_kind_display(), second)

    @column("From", css="wide")
    def place(self, row: Session) -> SafeString:
        """Show address and program."""
        return format_html(
            "<span class='wk-mono'>{}</span><span class='sub'>{}</span>", row.address, row.user_agent[:90]
        )

    @column("Seen", order="last_seen_at", css="tight")
    def seen(self, row: Session) -> Any:
        """Show when it was used last."""
        return ago(row.last_seen_at)

    @column("Since", order="created_at", css="tight quiet")
    def since(self, row: Session) -> Any:
        """Show when it began."""
        return ago(row.created_at)

    def facts(self, request: HttpRequest, row: Session) -> list[tuple[str, Any]]:
        """Return the whole row."""
        principal = principal_of(request)
        mine = principal is not None and principal.session_id == row.pk
        return [
            ("User", row.user.username),
            ("By", row.get_kind_display()),
            ("Second step", "passed" if row.mfa_verified else "not asked"),
            ("Address", row.address),
            ("Program", row.user_agent),
            ("Since", exact(row.created_at)),
            ("Seen", ago(row.last_seen_at)),
            ("Ends", exact(row.expires_at)),
            ("", "This is the session you are using now." if mine else ""),
        ]


navigate(ADMINISTER, 30, "API keys", icon="key", url="admin:accounts_apikey_changelist", code="api_keys:view")
navigate(ADMINISTER, 40, "Sessions", icon="devices", url="admin:accounts_session_changelist", code="sessions:view")
