"""Commands on many servers in the console: choosing and seeing them first, watching, ending, repeating."""

import hashlib
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Case, IntegerField, Value, When
from django.db.models.functions import Right
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import spoken
from apps.core.principals import Principal
from apps.core.templatetags.console import ago, badge
from apps.fleet import services
from apps.fleet.admin.command_forms import ALL, SERVERS, TAGS, BatchForm
from apps.fleet.admin.commands import run_badge, servers_offered
from apps.fleet.models import CommandBatch
from apps.fleet.services.batches import Plan, Target
from apps.fleet.states import BAD, BatchStatus, RunStatus

ROWS = 200
TAIL = 160
_LOOKS = {BatchStatus.STOPPED: ("Stopped", "crit"), BatchStatus.SUCCEEDED: ("Succeeded", "ok")}
#: What went wrong, and what goes on, stands first.
_FIRST = Case(
    When(status__in=BAD, then=Value(0)),
    When(status=RunStatus.RUNNING, then=Value(1)),
    When(status=RunStatus.CANCELLED, then=Value(2)),
    When(status=RunStatus.SUCCEEDED, then=Value(3)),
    default=Value(4),
    output_field=IntegerField(),
)
_SHOWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "failed": ("Failed", BAD),
    "running": ("Running", (RunStatus.RUNNING,)),
    "waiting": ("Waiting", (RunStatus.WAITING,)),
    "succeeded": ("Succeeded", (RunStatus.SUCCEEDED,)),
    "skipped": ("No turn or cancelled", (RunStatus.SKIPPED, RunStatus.CANCELLED)),
}


def batch_badge(row: CommandBatch) -> SafeString:
    """Draw how a batch stands."""
    if row.status == BatchStatus.RUNNING and row.stop_reason:
        return badge("running", "Ending")
    if row.status == BatchStatus.FAILED:
        return badge("failed", f"Failed on {row.failed}" if row.failed else "Not on all")
    word, tone = _LOOKS.get(BatchStatus(row.status), ("", ""))
    return badge("failed" if row.status == BatchStatus.STOPPED else row.status, word, tone)


def _cancel(request: HttpRequest, row: CommandBatch, note: str) -> str:
    services.cancel_batch(actor=require(request, "commands:cancel"), batch_id=row.pk)
    return "It is being ended; that takes a few seconds."


def _retry(scope: str) -> Any:
    def run(request: HttpRequest, row: CommandBatch, note: str) -> HttpResponse:
        batch = services.retry_batch(actor=require(request, "commands:run"), batch_id=row.pk, scope=scope)
        return HttpResponseRedirect(reverse("admin:fleet_commandbatch_detail", args=[batch.pk]))

    return run


def _is_over(row: CommandBatch) -> bool:
    return row.status != BatchStatus.RUNNING


def _has_ended(row: CommandBatch, *statuses: str) -> bool:
    """Return whether the batch is over and ended so on a machine that is still there."""
    if not _is_over(row) or row.failed + row.skipped == 0:
        return False
    return row.runs.filter(status__in=statuses, server__isnull=False).exists()


@admin.register(CommandBatch)
class CommandBatchAdmin(ConsoleAdmin):
    """One command on many servers."""

    codes: ClassVar = {"view": "commands:view", "add": "commands:run"}
    subject_kind = "command_batch"
    list_title = "Commands on many servers"
    intro = "One command on a list of servers, on a tag, or on all; a few at a time, and none any more once it fails."
    add_label = "Run on many servers"
    add_save_label = "Show the servers"
    empty: ClassVar = (
        "terminal",
        "Nothing was run on many servers yet",
        "Give servers that belong together a tag; then a command runs on all of them, with a try on one before.",
    )
    form_class = BatchForm
    list_display = ("what", "where", "state", "progress", "who", "begun", "length")
    list_filter = ("status", "sudo")
    search_fields = ("command", "asked", "user")
    search_help_text = "Command, servers or person"
    ordering = ("-started_at", "-id")
    live_events = "command_batch.created command_batch.progress command_batch.finished"
    detail_template = "console/command_batch.html"
    transitions = (
        Transition(
            "cancel", "End it on all", "stop_circle", "commands:cancel", _cancel,
            offered=lambda row: not _is_over(row) and row.cancel_asked_at is None,
            ask="End this command on every server, and begin it on no other?", tone="danger",
        ),
        Transition(
            "retry", "Run again where it failed", "replay", "commands:run", _retry("failed"),
            offered=lambda row: _has_ended(row, RunStatus.FAILED, RunStatus.TIMED_OUT),
            ask="Run this command again on the servers where it failed?", tone="primary",
        ),
        Transition(
            "rest", "Run where it did not succeed", "playlist_play", "commands:run", _retry("unsuccessful"),
            offered=lambda row: _has_ended(row, RunStatus.LOST, RunStatus.SKIPPED, RunStatus.CANCELLED),
            ask="Run this command on all servers where it failed, was lost or had no turn? Where it was lost it may "
            "have done its work already.",
        ),
        Transition(
            "again", "Run again on all", "repeat", "commands:run", _retry("all"),
            offered=_is_over, ask="Run this command again on all of these servers?",
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the batches without their input."""
        return super().get_queryset(request).defer("inputs")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was run stays as it is."""
        return False

    def title_of(self, row: CommandBatch) -> str:
        """Return where it runs."""
        return f"Command on {row.asked}"

    def row_tone(self, row: CommandBatch) -> str:
        """Mark what went wrong."""
        return "crit" if row.status in (BatchStatus.FAILED, BatchStatus.STOPPED) else ""

    @column("Command")
    def what(self, row: CommandBatch) -> SafeString:
        """Show the beginning of the command."""
        text = " ".join(row.command.split())
        shown = text[:80] + ("…" if len(text) > 80 else "")
        return format_html("<code>{}{}</code>", "sudo: " if row.sudo else "", shown)

    @column("On")
    def where(self, row: CommandBatch) -> str:
        """Show the servers."""
        return row.asked

    @column("Result", order="status", css="tight")
    def state(self, row: CommandBatch) -> SafeString:
        """Show how it stands."""
        return batch_badge(row)

    @column("Servers", css="tight figure")
    def progress(self, row: CommandBatch) -> str:
        """Show how far it is."""
        return f"{row.succeeded} of {row.hosts}"

    @column("By", order="user", css="tight quiet")
    def who(self, row: CommandBatch) -> str:
        """Show who ran it."""
        return row.user

    @column("Started", order="started_at", css="tight quiet")
    def begun(self, row: CommandBatch) -> Any:
        """Show when."""
        return ago(row.started_at)

    @column("Took", css="tight figure")
    def length(self, row: CommandBatch) -> str:
        """Show how long it took."""
        return spoken((row.finished_at - row.started_at).total_seconds()) if row.finished_at else "–"

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form; it offers the servers that the person can run commands on."""
        actor = require(request, "commands:run")
        offered = servers_offered(actor)

        class Form(BatchForm):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                field: Any = self.fields[SERVERS]
                field.choices = offered
                if not actor.can("secrets:view"):
                    del self.fields["env_secrets"]

        return Form

    def create(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Show which servers are meant; once that is confirmed, run it."""
        actor = require(request, "commands:run")
        command = services.cleaned_command(
            text=data["command"],
            timeout_s=data["timeout_s"],
            sudo=data["sudo"],
            env_secrets=data.get("env_secrets"),
            actor=actor,
        )
        targets, asked, plan = _chosen(actor, data)
        if request.POST.get("_seen") == _fingerprint(targets):
            batch = services.create_batch(actor=actor, command=command, targets=targets, asked=asked, plan=plan)
            return HttpResponseRedirect(self.page_of(batch))
        reached = [one for one in targets if not one.problem]
        given = [
            (name, value)
            for name, values in request.POST.lists()
            for value in values
            if name not in ("csrfmiddlewaretoken", "_seen")
        ]
        context = self.page_context(
            request,
            title=f"Run on {len(reached)} server{'' if len(reached) == 1 else 's'}?",
            command=command,
            asked=asked,
            plan=plan,
            targets=[
                {"target": one, "is_canary": one in reached[: plan.canary], "position": place}
                for place, one in enumerate(targets, 1)
            ],
            reached=len(reached),
            given=given,
            seen=_fingerprint(targets),
            has_changed="_seen" in request.POST,
            back_url=self.path_to("add"),
        )
        return TemplateResponse(request, "console/batch_preview.html", context)

    def detail_context(self, request: HttpRequest, row: CommandBatch) -> dict[str, Any]:
        """Return how far it is and its runs."""
        show = request.GET.get("show", "")
        runs = row.runs.all()
        if show in _SHOWS:
            runs = runs.filter(status__in=_SHOWS[show][1])
        runs = runs.annotate(first=_FIRST, tail=Right("output", TAIL)).defer("output").order_by("first", "position")
        found = list(runs[: ROWS + 1])
        running = row.runs.filter(status=RunStatus.RUNNING).count()
        over = row.succeeded + row.failed + row.skipped
        waiting = max(0, row.hosts - over - running) if not _is_over(row) else 0
        figures = {
            "failed": row.failed, "running": running, "waiting": waiting, "succeeded": row.succeeded,
            "skipped": row.skipped,
        }  # fmt: skip
        end = row.finished_at or timezone.now()
        return {
            "batch_badge": batch_badge(row),
            "is_running": not _is_over(row),
            "runs": [
                {
                    "run": run,
                    "badge": run_badge(run),
                    "last": _last_line(run.tail),
                    "took": spoken(run.duration_ms / 1000) if run.duration_ms is not None else "",
                }
                for run in found[:ROWS]
            ],
            "more": len(found) > ROWS,
            "figures": [(name, _SHOWS[name][0], count) for name, count in figures.items() if count],
            "show": show,
            "took": spoken((end - row.started_at).total_seconds()),
            "parts": [
                (tone, 100 * count / max(1, row.hosts))
                for tone, count in (
                    ("ok", row.succeeded), ("crit", row.failed), ("info", running), ("unknown", row.skipped),
                )
                if count
            ],
            "may_see_secrets": may(request, "secrets:view"),
        }  # fmt: skip


def _chosen(actor: Principal, data: dict[str, Any]) -> tuple[list[Target], str, Plan]:
    on = data["on"]
    targets, asked = services.find_targets(
        actor=actor,
        servers=data["servers"] if on == SERVERS else (),
        tags=data["tags"] if on == TAGS else (),
        everybody=on == ALL,
    )
    plan = services.plan_for(
        len(targets),
        parallel=data["parallel"],
        canary=data["canary"],
        stop_after_failures=data["stop_after_failures"],
    )
    return targets, asked, plan


def _fingerprint(targets: list[Target]) -> str:
    """Return what changes with the servers that are meant, so that nobody runs on others than they saw."""
    text = "\n".join(sorted(f"{one.server.pk} {not one.problem}" for one in targets))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][-TAIL:] if lines else ""


navigate(
    RESPOND, 61, "On many servers", icon="hub", url="admin:fleet_commandbatch_changelist", code="commands:view"
)  # fmt: skip
