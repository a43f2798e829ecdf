"""SSH connections in the console: how each stands, its host key, a test with its phases, a command."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.errors import DomainError
from apps.core.templatetags.console import ago, badge
from apps.fleet import services
from apps.fleet.admin.ssh_form import CommandForm, SshConnectionForm
from apps.fleet.executors import SshExecutor
from apps.fleet.models import CommandRun, SshConnection
from apps.fleet.selectors.ssh import chain_of
from apps.fleet.ssh.keys import fingerprint_of
from apps.fleet.states import HostKeyState, Verdict
from apps.secrets.models import Secret

_KEY_WORDS = {"pending": "Not pinned yet", "pinned": "Pinned", "changed": "Has changed"}
_KEY_TONES = {"pending": "unknown", "pinned": "ok", "changed": "crit"}


def key_badge(row: SshConnection) -> SafeString:
    """Draw how the host key stands."""
    state = str(row.state.host_key_state)
    return badge(state, _KEY_WORDS[state], _KEY_TONES[state])


class HostKeyFilter(admin.SimpleListFilter):
    """Connections by their host key."""

    title, parameter_name = "host key", "host_key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states."""
        return [(state, _KEY_WORDS[state]) for state in HostKeyState.values]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__host_key_state=self.value()) if self.value() else queryset


class VerdictFilter(admin.SimpleListFilter):
    """Connections by their last test."""

    title, parameter_name = "last test", "result"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the results."""
        return Verdict.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the result chosen."""
        return queryset.filter(state__last_result=self.value()) if self.value() else queryset


@admin.register(SshConnection)
class SshConnectionAdmin(ConsoleAdmin):
    """Ways into machines."""

    codes: ClassVar = {
        "view": "ssh_connections:view",
        "add": "ssh_connections:create",
        "change": "ssh_connections:update",
        "delete": "ssh_connections:delete",
    }
    subject_kind = "ssh_connection"
    list_title = "SSH connections"
    intro = "How Watchkeeper reaches machines to run commands. Credentials lie in the vault; a host key is pinned once."
    add_label = "Add SSH connection"
    empty: ClassVar = (
        "terminal",
        "No SSH connection yet",
        "Add one with a host, a user and a key or password, and test it: the first test pins the machine's host key. "
        "Then choose it in the form of a server. From an ssh config or an Ansible inventory you can import many.",
    )
    form_class = SshConnectionForm
    list_display = ("connection", "host_key", "test", "way", "used_by")
    list_filter = (HostKeyFilter, VerdictFilter, "auth_method")
    search_fields = ("name", "hostname", "username", "description")
    search_help_text = "Name, host or user"
    ordering = ("name", "id")
    live_events = "ssh_connection.*"
    list_actions_template = "console/partials/import_machines.html"
    detail_template = "console/ssh_connection.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the connections with their state, their jump host and their servers."""
        rows = super().get_queryset(request).select_related("state", "jump_host")
        return rows.prefetch_related("servers")

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return where machines of other tools come in."""
        return {"import_url": reverse("admin:fleet_import") if may(request, "ssh_connections:create") else ""}

    def row_tone(self, row: SshConnection) -> str:
        """Mark those whose host key has changed, and those that failed."""
        if row.state.host_key_state == HostKeyState.CHANGED:
            return "crit"
        return "warn" if row.state.last_result == Verdict.FAILED else ""

    @column("Connection", order="name")
    def connection(self, row: SshConnection) -> SafeString:
        """Show the name and the address."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.address)

    @column("Host key", order="state__host_key_state", css="tight")
    def host_key(self, row: SshConnection) -> SafeString:
        """Show how the host key stands."""
        return key_badge(row)

    @column("Last test", order="state__last_tested_at", css="tight")
    def test(self, row: SshConnection) -> SafeString:
        """Show how the last test ended, and when."""
        if row.state.last_tested_at is None:
            return badge("unknown", "Untested")
        return format_html("{} {}", badge(row.state.last_result), ago(row.state.last_tested_at))

    @column("Way", css="quiet")
    def way(self, row: SshConnection) -> str:
        """Show how one signs in, and through what."""
        through = f", through {row.jump_host.name}" if row.jump_host else ""
        return f"{row.get_auth_method_display()}{through}"

    @column("Used by", css="quiet")
    def used_by(self, row: SshConnection) -> str:
        """Show which servers it reaches."""
        names = [server.name for server in row.servers.all()]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        return (", ".join(names[:2]) + more) or "–"

    # --- forms -------------------------------------------------------------------------------------------------------

    @method_decorator(sensitive_post_parameters())
    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form; what is posted to it is never part of an error's report."""
        return super().changeform_view(*args, **kwargs)

    def initial(self, request: HttpRequest, row: SshConnection | None) -> dict[str, Any]:
        """Return the form's values, never a credential."""
        if row is None:
            names = ("name", "hostname", "port", "username", "auth_method")
            return {name: text for name, text in request.GET.items() if name in names}
        plain = (
            "name",
            "hostname",
            "port",
            "username",
            "description",
            "auth_method",
            "connect_timeout_s",
            "keepalive_s",
        )
        found = {name: getattr(row, name) for name in plain}
        return {**found, "secret_id": str(row.secret_id or ""), "jump_host_id": str(row.jump_host_id or "")}

    def create(self, request: HttpRequest, data: dict[str, Any]) -> SshConnection:
        """Add a connection."""
        actor = require(request, "ssh_connections:create")
        return services.create_connection(actor=actor, values=_values(data))

    def update(self, request: HttpRequest, row: SshConnection, data: dict[str, Any]) -> SshConnection:
        """Change a connection."""
        actor = require(request, "ssh_connections:update")
        return services.update_connection(actor=actor, connection_id=row.pk, values=_values(data))

    def remove(self, request: HttpRequest, row: SshConnection) -> None:
        """Remove a connection."""
        services.delete_connection(actor=require(request, "ssh_connections:delete"), connection_id=row.pk)

    def delete_warning(self, row: SshConnection) -> str:
        """Say what goes with it."""
        return (
            "No command goes that way any more. Its credential stays in the vault; the history of commands stays too."
        )

    # --- pages -------------------------------------------------------------------------------------------------------

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return what the buttons of its page do."""
        return [
            ("<str:object_id>/test/", "test", self.test_view),
            ("<str:object_id>/accept/", "accept", self.accept_view),
            ("<str:object_id>/run/", "run", self.run_view),
        ]

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Test it and show what the test found."""
        actor = require(request, "ssh_connections:test")
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(row))
        report = services.test_connection(actor=actor, connection_id=row.pk)
        return self._page(request, object_id, report=report)

    def accept_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Accept the key that the person has seen."""
        actor = require(request, "ssh_connections:trust")
        row = self.row_or_404(request, object_id)
        if request.method == "POST":
            try:
                services.accept_host_key(
                    actor=actor, connection_id=row.pk, fingerprint=request.POST.get("fingerprint", "")
                )  # fmt: skip
            except DomainError as error:
                self.message_user(request, error.detail, level="ERROR")
            else:
                self.message_user(request, f"The new host key of {row.name} is pinned.")
        return HttpResponseRedirect(self.page_of(row))

    def run_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Run a command there and lead to its page."""
        actor = require(request, "ssh_connections:execute")
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(row))
        form = CommandForm(request.POST)
        if form.is_valid():
            data = form.cleaned_data
            try:
                command = services.cleaned_command(
                    text=data["command"], timeout_s=data["timeout_s"], sudo=data["sudo"]
                )  # fmt: skip
                run = services.run_in_background(
                    actor=actor, executor=SshExecutor(row, actor), command=command, ssh_connection=row
                )
            except DomainError as error:
                form.refuse(error)
            else:
                return HttpResponseRedirect(reverse("admin:fleet_commandrun_detail", args=[run.pk]))
        return self._page(request, object_id, form=form)

    def _page(self, request: HttpRequest, object_id: str, **more: Any) -> HttpResponse:
        response: Any = self.detail_view(request, object_id)
        response.context_data.update(more)
        if more.get("form"):
            response.status_code = 422
        return response

    def detail_context(self, request: HttpRequest, row: SshConnection) -> dict[str, Any]:
        """Return how it stands, its way, its fingerprints, a box for a command and the latest ones."""
        state = row.state
        ids = [key for key in (row.secret_id, row.passphrase_secret_id, row.sudo_secret_id) if key]
        names: dict[UUID, str] = dict(Secret.objects.filter(pk__in=ids).values_list("pk", "name"))
        secret_page = may(request, "secrets:view")
        secrets = [
            {
                "label": label,
                "name": names.get(key, "gone"),
                "url": reverse("admin:secrets_secret_detail", args=[key]) if secret_page and key in names else "",
            }
            for label, key in (
                ("Credential", row.secret_id),
                ("Passphrase", row.passphrase_secret_id),
                ("Password for sudo", row.sudo_secret_id),
            )
            if key
        ]
        runs = CommandRun.objects.filter(ssh_connection=row).defer("output").order_by("-started_at", "-id")
        return {
            "state_row": state,
            "key_badge": key_badge(row),
            "pinned": fingerprint_of(state.host_key),
            "pinned_type": state.host_key.partition(" ")[0],
            "offered": fingerprint_of(state.offered_key),
            "offered_type": state.offered_key.partition(" ")[0],
            "chain": chain_of(row),
            "secrets": secrets,
            "servers": list(row.servers.all()),
            "form": CommandForm(),
            "runs": runs[:10] if may(request, "commands:view") else [],
            "may_test": may(request, "ssh_connections:test"),
            "may_trust": may(request, "ssh_connections:trust"),
            "may_run": may(request, "ssh_connections:execute"),
            "test_url": self.path_to("test", row),
            "accept_url": self.path_to("accept", row),
            "run_url": self.path_to("run", row),
            "report": None,
        }


def _values(data: dict[str, Any]) -> dict[str, Any]:
    """Return what the service takes; a box left empty changes no credential."""
    values = {name: value for name, value in data.items() if name not in ("secret_id", "credential", "jump_host_id")}
    values["jump_host_id"] = data.get("jump_host_id") or None
    if data.get("credential"):
        values["credential"] = data["credential"]
    elif data.get("secret_id"):
        values["secret_id"] = UUID(data["secret_id"])
    return values


navigate(
    ADMINISTER,
    30,
    "SSH connections",
    icon="terminal",
    url="admin:fleet_sshconnection_changelist",
    code="ssh_connections:view",
)
