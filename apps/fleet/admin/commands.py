"""Commands in the console: history, one run with its output as it comes, running one."""

from collections.abc import Collection
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.admin.words import spoken
from apps.core.errors import DomainError, Invalid
from apps.core.principals import Principal
from apps.core.templatetags.console import ago, badge
from apps.fleet import services
from apps.fleet.admin.command_forms import ServerCommandForm
from apps.fleet.api.commands import output_response
from apps.fleet.executors import Executor, SshExecutor, executor_of, provided_among
from apps.fleet.models import CommandRun, Server
from apps.fleet.selectors.commands import is_cut
from apps.fleet.states import RunStatus

#: Characters of the output that a page shows while the command runs, and afterwards.
TAIL, WHOLE = 20_000, 200_000
_TONES = {"succeeded": "ok", "timed_out": "crit", "cancelled": "unknown", "lost": "warn", "skipped": "unknown"}
_WORDS = {"succeeded": "Succeeded", "timed_out": "Timed out", "waiting": "Waiting", "skipped": "No turn"}


def run_badge(row: CommandRun) -> SafeString:
    """Draw how a run stands, with its exit code where that says more."""
    state = str(row.status)
    word = _WORDS.get(state, "")
    if state == RunStatus.FAILED and row.exit_code is not None:
        word = f"Exit code {row.exit_code}"
    elif row.signal:
        word = f"Signal {row.signal}"
    return badge("pending" if state == RunStatus.WAITING else state, word, _TONES.get(state, ""))


def servers_offered(actor: Principal) -> list[tuple[str, str]]:
    """Return the servers that the person can run commands on."""
    rows = list(Server.objects.visible_to(actor).select_related("ssh_connection").order_by("name")[:1000])
    provided = provided_among([row.pk for row in rows])
    return [(row.slug, row.name) for row in rows if is_reached(row, actor, provided)]


def is_reached(server: Server, actor: Principal, provided: Collection[UUID] | None = None) -> bool:
    """Return whether the person can run commands on a server."""
    try:
        executor_of(server, actor, provided=provided)
    except DomainError:
        return False
    return True


def _executor_again(row: CommandRun, actor: Principal) -> Executor:
    if row.server is not None:
        return services.executor_for_server(server=row.server, actor=actor)
    if row.ssh_connection is not None and actor.can("ssh_connections:execute"):
        return SshExecutor(row.ssh_connection, actor)
    raise Invalid({"": "the machine it ran on is gone, or you may not run commands there"})


def _again(request: HttpRequest, row: CommandRun, note: str) -> HttpResponse:
    actor = require(request, "commands:run")
    command = services.cleaned_command(
        text=row.command, timeout_s=row.timeout_s, sudo=row.sudo, env_secrets=row.env_secrets, actor=actor
    )
    run = services.run_in_background(
        actor=actor,
        executor=_executor_again(row, actor),
        command=command,
        server=row.server,
        ssh_connection=None if row.server else row.ssh_connection,  # a server may be reached by another one now
    )
    return HttpResponseRedirect(reverse("admin:fleet_commandrun_detail", args=[run.pk]))


def _cancel(request: HttpRequest, row: CommandRun, note: str) -> str:
    services.cancel_run(actor=require(request, "commands:cancel"), run_id=row.pk)
    return "It is being ended; that takes a few seconds."


def _can_run_again(row: CommandRun) -> bool:
    """Return whether all that it was given is still known."""
    is_over = row.status not in (RunStatus.RUNNING, RunStatus.WAITING)
    return is_over and not row.has_stdin and set(row.env_names) <= set(row.env_secrets)


@admin.register(CommandRun)
class CommandRunAdmin(ConsoleAdmin):
    """What was run on machines."""

    codes: ClassVar = {"view": "commands:view", "add": "commands:run"}
    subject_kind = "command"
    list_title = "Commands"
    intro = "What was run on machines, by whom, and what came of it."
    add_label = "Run a command"
    empty: ClassVar = (
        "terminal",
        "No command was run yet",
        "Install a host agent on a server, or choose an SSH connection in its form; then commands can be run on it.",
    )
    form_class = ServerCommandForm
    list_display = ("what", "where", "state", "who", "begun", "length")
    list_filter = ("status", "executor", "sudo")
    search_fields = ("command", "target", "user")
    search_help_text = "Command, machine or person"
    ordering = ("-started_at", "-id")
    live_events = "command.started command.finished"
    detail_template = "console/command_run.html"
    transitions = (
        Transition(
            "cancel", "End it", "stop_circle", "commands:cancel", _cancel,
            offered=lambda row: row.status in (RunStatus.RUNNING, RunStatus.WAITING), ask="End this command?",
            tone="danger",
        ),
        Transition(
            "again", "Run again", "replay", "commands:run", _again,
            offered=_can_run_again,
            ask="Run this command again?",
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the runs; lists need no output."""
        return super().get_queryset(request).defer("output")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was run stays as it is."""
        return False

    def title_of(self, row: CommandRun) -> str:
        """Return the machine."""
        return f"Command on {row.target}"

    def row_tone(self, row: CommandRun) -> str:
        """Mark what went wrong."""
        return "crit" if row.status in (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.LOST) else ""

    @column("Command")
    def what(self, row: CommandRun) -> SafeString:
        """Show the beginning of the command."""
        text = " ".join(row.command.split())
        return format_html(
            "<code>{}{}</code>", "sudo: " if row.sudo else "", text[:80] + ("…" if len(text) > 80 else "")
        )

    @column("On", order="target", css="tight")
    def where(self, row: CommandRun) -> str:
        """Show the machine."""
        return row.target

    @column("Result", order="status", css="tight")
    def state(self, row: CommandRun) -> SafeString:
        """Show how it stands."""
        return run_badge(row)

    @column("By", order="user", css="tight quiet")
    def who(self, row: CommandRun) -> str:
        """Show who ran it."""
        return row.user

    @column("Started", order="started_at", css="tight quiet")
    def begun(self, row: CommandRun) -> Any:
        """Show when."""
        return ago(row.started_at)

    @column("Took", order="duration_ms", css="tight figure")
    def length(self, row: CommandRun) -> str:
        """Show how long it took."""
        return spoken(row.duration_ms / 1000) if row.duration_ms is not None else "–"

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form; it offers the servers that the person can run commands on."""
        actor = require(request, "commands:run")
        offered = servers_offered(actor)

        class Form(ServerCommandForm):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                field: Any = self.fields["server"]
                field.choices = offered
                if not offered:
                    field.help_text = (
                        "No server can be reached yet: install a host agent there, or choose an SSH connection in the "
                        "form of the server."
                    )
                if not actor.can("secrets:view"):
                    del self.fields["env_secrets"]

        return Form

    def create(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Run the command and lead to its page."""
        actor = require(request, "commands:run")
        command = services.cleaned_command(
            text=data["command"],
            timeout_s=data["timeout_s"],
            sudo=data["sudo"],
            env_secrets=data.get("env_secrets"),
            actor=actor,
        )
        server = Server.objects.visible_to(actor).get(slug=data["server"])
        executor = services.executor_for_server(server=server, actor=actor)
        row = services.run_in_background(actor=actor, executor=executor, command=command, server=server)
        return HttpResponseRedirect(self.page_of(row))

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the whole output as a file."""
        return [("<str:object_id>/output/", "output", self.output_view)]

    def output_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send all that is kept of the output."""
        require(request, "commands:view")
        row = self.row_or_404(request, object_id)
        if row.file_bytes:
            try:
                return output_response(row)
            except DomainError as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(self.page_of(row))
        response = HttpResponse(row.output, content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="command-{row.pk}.txt"'
        return response

    def detail_context(self, request: HttpRequest, row: CommandRun) -> dict[str, Any]:
        """Return the run with the end of its output."""
        most = TAIL if row.status == RunStatus.RUNNING else WHOLE
        return {
            "run_badge": run_badge(row),
            "is_running": row.status == RunStatus.RUNNING,
            "shown": row.output[-most:],
            "hidden": max(0, len(row.output) - most),
            "is_cut": is_cut(row),
            "took": spoken(row.duration_ms / 1000) if row.duration_ms is not None else "",
            "output_url": self.path_to("output", row),
        }


def _commands_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    runs = list(CommandRun.objects.filter(server_id=row.pk).defer("output").order_by("-started_at", "-id")[:5])
    offered = may(request, "commands:run") and is_reached(row, require(request, "commands:run"))
    if not runs and not offered:
        return None
    return {"runs": [(run, run_badge(run)) for run in runs], "slug": row.slug if offered else ""}


subject_panels.register(
    "fleet-commands", SubjectPanel(("server",), "console/panels/commands.html", _commands_panel, "commands:view")
)
navigate(RESPOND, 60, "Commands", icon="terminal", url="admin:fleet_commandrun_changelist", code="commands:view")
