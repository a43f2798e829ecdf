"""Terminals in the console: the terminal itself, the sessions with their recordings."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core import runtime_settings
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.pages import page, render
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.admin.words import spoken
from apps.core.errors import DomainError
from apps.core.principals import Principal
from apps.core.templatetags.console import ago, badge
from apps.fleet.api.shapes import in_threads
from apps.fleet.api.terminals import CAST
from apps.fleet.executors import executor_of
from apps.fleet.models import Server, TerminalSession
from apps.fleet.selectors.terminals import has_recording, recording_of
from apps.fleet.services.terminals import end_terminal, note_replay
from apps.fleet.states import HostKeyState, TerminalStatus
from apps.fleet.terminal.opening import check_rights

_TONES = {
    "open": "ok", "ended": "unknown", "closed": "unknown", "timed_out": "unknown", "kicked": "warn", "revoked": "warn",
    "disconnected": "warn", "failed": "crit", "lost": "warn",
}  # fmt: skip
_WAYS = {"ssh": "SSH", "local": "On Watchkeeper's own host", "agent": "Host agent"}
ROWS_ON_SERVER = 5


def session_badge(row: TerminalSession) -> SafeString:
    """Draw how a session stands, with its exit code where that says more."""
    word = row.get_status_display()
    if row.status == TerminalStatus.ENDED and row.exit_code:
        word = f"Exit code {row.exit_code}"
    return badge(str(row.status), word, _TONES[row.status])


def terminal_url(request: HttpRequest, server: Server) -> str:
    """Return the page of a server's terminal; "" for who may not have one."""
    return reverse("admin:server_terminal", args=[server.pk]) if may(request, "servers:terminal") else ""


def obstacle(actor: Principal, server: Server) -> dict[str, str] | None:
    """Return why no terminal can be opened on a server, and where to put that right; None where one can, as far as
    is known before it is tried.
    """
    try:
        executor = executor_of(server, actor)
        check_rights(actor, is_local=executor.name == "local")
    except DomainError as error:
        may_change = error.code == "no_executor" and actor.can("servers:update") and actor.can("ssh_connections:use")
        return {
            "sentence": error.detail
            + ("" if may_change or error.code != "no_executor" else " Ask an admin to do that."),
            "url": reverse("admin:fleet_server_change", args=[server.pk]) if may_change else "",
            "label": f"Change {server.name}",
        }
    way = server.ssh_connection
    if executor.name == "ssh" and way is not None and way.state.host_key_state != HostKeyState.PINNED:
        is_new = way.state.host_key_state == HostKeyState.PENDING
        what = (
            "is not known yet: test the connection, which pins it" if is_new else "has changed: compare and accept it"
        )
        may_see = actor.can("ssh_connections:view")
        return {
            "sentence": f"The host key of {way.name} {what}.",
            "url": reverse("admin:fleet_sshconnection_detail", args=[way.pk]) if may_see else "",
            "label": "The SSH connection",
        }
    return None


@page("fleet/server/<uuid:server_id>/terminal/", "server_terminal", code="servers:terminal")
def terminal_view(request: HttpRequest, server_id: Any) -> HttpResponse:
    """Show the terminal, which opens by itself."""
    actor = require(request, "servers:terminal")
    rows = Server.objects.visible_to(actor).select_related("ssh_connection__state")
    server = rows.filter(pk=server_id).first()
    if server is None:
        raise Http404("There is no such server.")
    return render(
        request,
        "console/terminal.html",
        f"Terminal on {server.name}",
        server=server,
        obstacle=obstacle(actor, server),
        socket=f"/ws/servers/{server.pk}/terminal",
        idle=spoken(runtime_settings.get("terminal.idle")),
    )


def _end(request: HttpRequest, row: TerminalSession, note: str) -> str:
    end_terminal(actor=require(request, "terminals:end"), session_id=row.pk)
    return "It is being ended; that takes a second or two."


@admin.register(TerminalSession)
class TerminalSessionAdmin(ConsoleAdmin):
    """Who had a terminal open, where and when, with what was shown in it."""

    codes: ClassVar = {"view": "terminals:view"}
    subject_kind = "terminal"
    list_title = "Terminals"
    intro = "Who had a shell open on which server, and what was shown in it."
    empty: ClassVar = (
        "terminal",
        "No terminal was opened yet",
        "Open one from the page of a server. What is shown in it is recorded and can be replayed here.",
    )
    list_display = ("who", "where", "state", "begun", "length", "origin")
    list_filter = ("status", "executor")
    search_fields = ("user", "target", "address")
    search_help_text = "Person, server or address"
    ordering = ("-started_at", "-id")
    live_events = "terminal.opened terminal.closed"
    detail_template = "console/terminal_session.html"
    transitions = (
        Transition(
            "end", "End it", "stop_circle", "terminals:end", _end,
            offered=lambda row: row.status == TerminalStatus.OPEN,
            ask="End this terminal? What runs in it is ended too.", tone="danger",
        ),
    )  # fmt: skip

    def title_of(self, row: TerminalSession) -> str:
        """Return who and where."""
        return f"{row.user} on {row.target}"

    def row_tone(self, row: TerminalSession) -> str:
        """Mark what went wrong."""
        return "crit" if row.status == TerminalStatus.FAILED else ""

    @column("Person", order="user")
    def who(self, row: TerminalSession) -> str:
        """Show who."""
        return row.user

    @column("Server", order="target")
    def where(self, row: TerminalSession) -> str:
        """Show where."""
        return row.target

    @column("Status", order="status", css="tight")
    def state(self, row: TerminalSession) -> SafeString:
        """Show how it stands."""
        return session_badge(row)

    @column("Begun", order="started_at", css="tight quiet")
    def begun(self, row: TerminalSession) -> Any:
        """Show when."""
        return ago(row.started_at)

    @column("Lasted", order="duration_ms", css="tight figure")
    def length(self, row: TerminalSession) -> str:
        """Show how long."""
        return spoken(row.duration_ms / 1000) if row.duration_ms is not None else "–"

    @column("From", order="address", css="tight quiet")
    def origin(self, row: TerminalSession) -> SafeString:
        """Show the address of the person."""
        return format_html("<span class='wk-mono'>{}</span>", row.address or "–")

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the recording as a file."""
        return [("<str:object_id>/recording/", "recording", self.recording_view)]

    def recording_view(self, request: HttpRequest, object_id: str) -> HttpResponse | StreamingHttpResponse:
        """Send the recording; that it was asked for goes into the audit trail."""
        actor = require(request, "terminals:view")
        row = self.row_or_404(request, object_id)
        try:
            pieces = recording_of(row)
        except DomainError as error:
            raise Http404(error.detail) from error
        note_replay(actor=actor, row=row)
        body: Any = in_threads(pieces) if hasattr(request, "scope") else pieces
        response = StreamingHttpResponse(body, content_type=CAST)
        response["Content-Disposition"] = f'attachment; filename="terminal-{row.pk}.cast"'
        if not connection.in_atomic_block:
            connection.close()
        return response

    def detail_context(self, request: HttpRequest, row: TerminalSession) -> dict[str, Any]:
        """Return the session with the address of its recording."""
        return {
            "state_badge": session_badge(row),
            "is_open": row.status == TerminalStatus.OPEN,
            "took": spoken(row.duration_ms / 1000) if row.duration_ms is not None else "",
            "way": _WAYS.get(row.executor, row.executor.capitalize()),
            "recording_url": self.path_to("recording", row) if has_recording(row) else "",
        }


def _panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    actor = require(request, "terminals:view")
    rows = list(TerminalSession.objects.visible_to(actor).filter(server_id=row.pk)[:ROWS_ON_SERVER])
    url = terminal_url(request, row)
    if not rows and not url:
        return None
    return {"rows": [(one, session_badge(one)) for one in rows], "url": url}


subject_panels.register(
    "fleet-terminals", SubjectPanel(("server",), "console/panels/terminals.html", _panel, "terminals:view")
)
navigate(RESPOND, 65, "Terminals", icon="terminal", url="admin:fleet_terminalsession_changelist", code="terminals:view")
