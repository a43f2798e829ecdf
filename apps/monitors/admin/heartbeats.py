"""Heartbeats in the console."""

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge
from apps.monitors.admin.endpoints import TagFilter, daily_cells
from apps.monitors.models import Heartbeat, Ping, Run
from apps.monitors.models.heartbeats import of_ms
from apps.monitors.selectors import heartbeats as selectors
from apps.monitors.selectors.snippets import snippets
from apps.monitors.services import heartbeats as services
from apps.monitors.states.heartbeats import DOWN, LATE, NEW, PAUSED, STARTED, UP

WORST_FIRST = Case(
    *(
        When(state__status=status, then=Value(rank))
        for rank, status in enumerate((DOWN, LATE, STARTED, UP, NEW, PAUSED))
    ),
    default=Value(9),
    output_field=IntegerField(),
)
SNIPPET_TITLES = {
    "curl": "curl",
    "wget": "wget",
    "crontab": "crontab",
    "bash": "Bash wrapper",
    "python": "Python",
    "powershell": "PowerShell",
    "systemd": "systemd",
    "docker_healthcheck": "Docker",
}


class HeartbeatForm(ConsoleForm):
    """What people set of a heartbeat."""

    name = forms.CharField(max_length=255, help_text="The job, e.g. “Nightly backup of db1”.")
    kind = forms.ChoiceField(
        choices=[("interval", "At an interval"), ("cron", "By a cron expression")], label="Expected"
    )
    interval_seconds = DurationField(required=False, label="Every", help_text="10 s or more: 5m, 1h, 1d.", initial=3600)
    cron = forms.CharField(
        required=False, label="Cron expression", help_text="Five fields, or @daily and the like: 30 2 * * 1-5."
    )
    timezone = forms.CharField(
        initial="UTC",
        label="Time zone",
        help_text="IANA name; the cron expression is read in it, summer time included.",
    )
    grace_seconds = DurationField(
        required=False,
        label="Grace",
        help_text="So long after the due time it is only late. Chosen for you where empty.",
    )
    max_runtime_seconds = DurationField(
        required=False, label="Longest run", help_text="A run that started and takes longer counts as failed."
    )
    early_seconds = DurationField(
        required=False, label="Early window", help_text="A cron job that reports this early counts for the coming slot."
    )
    resume_on_ping = forms.BooleanField(required=False, label="A ping resumes it where it is paused")
    tags = WordsField(required=False, help_text="Apart by commas.")
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    groups = (
        ("Job", "", ("name", "tags")),
        ("When is a sign of life due?", "", ("kind", "interval_seconds", "cron", "timezone", "grace_seconds")),
        (
            "…More",
            "longest run, early window, notes",
            ("max_runtime_seconds", "early_seconds", "resume_on_ping", "description"),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["interval_seconds"].when = "kind=interval"  # type: ignore[attr-defined]
        for name in ("cron", "timezone", "early_seconds"):
            self.fields[name].when = "kind=cron"  # type: ignore[attr-defined]
        self.fields["timezone"].widget.attrs["list"] = "zones"

    def clean_timezone(self) -> str:
        """Return a zone that exists."""
        zone: str = self.cleaned_data["timezone"].strip() or "UTC"
        if zone not in available_timezones():
            raise forms.ValidationError("This is not an IANA time zone such as Europe/Berlin.")
        return zone

    def clean(self) -> dict[str, Any]:
        """Keep the one schedule that was chosen."""
        data = super().clean() or {}
        if data.get("kind") == "cron":
            data["interval_seconds"] = None
            if not data.get("cron"):
                self.add_error("cron", "Give a cron expression.")
        else:
            data["cron"] = ""
            if not data.get("interval_seconds") and "interval_seconds" not in self.errors:
                self.add_error("interval_seconds", "Give an interval.")
        return data


class StatusFilter(admin.SimpleListFilter):
    """Heartbeats by status."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, worst first."""
        return [(DOWN, "Down"), (LATE, "Late"), (STARTED, "Running"), (UP, "Up"), (NEW, "New"), (PAUSED, "Paused")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__status=self.value()) if self.value() else queryset


def schedule_words(row: Heartbeat) -> str:
    """Return when it is expected, in words."""
    if row.cron:
        return f"{row.cron} ({row.timezone})"
    return f"every {spoken(row.interval_seconds)}"


def status_words(row: Heartbeat) -> str:
    """Return what its state means, in one sentence."""
    state, now = row.state, timezone.now()
    if state.status == NEW:
        return "Waiting for the first ping. Until then nothing is expected and nothing alerts."
    if state.status == PAUSED:
        return "Paused: nobody waits for it." + (" A ping resumes it." if row.resume_on_ping else "")
    if state.status == DOWN:
        if state.last_exit_code:
            return f"The last run failed with exit code {state.last_exit_code}."
        if state.last_start_at and state.open_runs and row.max_runtime_seconds:
            return f"A run started and took longer than {spoken(row.max_runtime_seconds)}."
        return "No sign of life came by its deadline."
    if state.status == LATE and state.deadline:
        left = spoken(max(0, (state.deadline - now).total_seconds()))
        return f"The sign of life is overdue; it counts as down in {left} unless it comes."
    if state.status == STARTED:
        return "A run has started and has not reported its end yet."
    return "The last run was fine."


def _pause(request: HttpRequest, row: Heartbeat, note: str) -> str:
    services.pause_heartbeat(heartbeat_id=row.pk, actor=require(request, "heartbeats:update"))
    return f"{row.name} is paused: nobody waits for it."


def _resume(request: HttpRequest, row: Heartbeat, note: str) -> str:
    services.resume_heartbeat(heartbeat_id=row.pk, actor=require(request, "heartbeats:update"))
    return f"{row.name} is expected again."


@admin.register(Heartbeat)
class HeartbeatAdmin(ConsoleAdmin):
    """Jobs that report by themselves."""

    codes: ClassVar = {
        "view": "heartbeats:view",
        "add": "heartbeats:create",
        "change": "heartbeats:update",
        "delete": "heartbeats:delete",
    }
    subject_kind = "heartbeat"
    list_title = "Heartbeats"
    intro = "Cron jobs, backups and other work that reports by itself. Silence past the deadline is the alarm."
    add_label = "Add heartbeat"
    empty: ClassVar = (
        "ecg_heart",
        "No heartbeat yet",
        "Add one for each job that must not fail silently, then paste its address into the job: one curl at the "
        "end is enough.",
    )
    form_class = HeartbeatForm
    list_display = ("job", "status", "expected", "last_ping", "next_due", "took")
    list_filter = (StatusFilter, TagFilter)
    search_fields = ("name", "description")
    search_help_text = "Name"
    live_events = "heartbeat.*"
    live_every = 2500
    detail_template = "console/heartbeat.html"
    transitions = (
        Transition("pause", "Pause", "pause", "heartbeats:update", _pause, offered=lambda row: not row.is_paused),
        Transition(
            "resume",
            "Resume",
            "play_arrow",
            "heartbeats:update",
            _resume,
            offered=lambda row: row.is_paused,
            tone="primary",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the heartbeats with state and tags, and their rank: worst first."""
        return super().get_queryset(request).with_state().annotate(severity=WORST_FIRST)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return worst first, then by name."""
        return ("severity", "name", "id")

    def row_tone(self, row: Heartbeat) -> str:
        """Mark what is down or late."""
        return {DOWN: "crit", LATE: "warn", PAUSED: "muted"}.get(row.state.status, "")

    @column("Job", order="name")
    def job(self, row: Heartbeat) -> SafeString:
        """Show name and tags."""
        words = format_html_join(" ", "<span class='wk-tag'>{}</span>", ((tag.name,) for tag in row.tags.all()))
        return format_html("{} <span class='wk-tags'>{}</span>", row.name, words)

    @column("Status", order="severity", css="tight")
    def status(self, row: Heartbeat) -> SafeString:
        """Show the status."""
        return badge(row.state.status)

    @column("Expected")
    def expected(self, row: Heartbeat) -> str:
        """Show the schedule."""
        return schedule_words(row)

    @column("Last ping", order="state__last_ping_at", css="tight")
    def last_ping(self, row: Heartbeat) -> Any:
        """Show when it pinged last."""
        return ago(row.state.last_ping_at, "never")

    @column("Next due", order="state__next_due_at", css="tight")
    def next_due(self, row: Heartbeat) -> Any:
        """Show when it is due next."""
        return ago(row.state.next_due_at, "–")

    @column("Took", order="state__last_duration_ms", css="figure quiet")
    def took(self, row: Heartbeat) -> str:
        """Show how long the last run took."""
        return spoken(row.state.last_duration_ms / 1000) if row.state.last_duration_ms is not None else "–"

    def initial(self, request: HttpRequest, row: Heartbeat | None) -> dict[str, Any]:
        """Return the form's values."""
        values = super().initial(request, row)
        if row is not None:
            values["tags"] = [tag.name for tag in row.tags.all()]
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Heartbeat:
        """Add a heartbeat."""
        values = {name: value for name, value in data.items() if name not in ("kind", "timezone")}
        return services.create_heartbeat(
            actor=require(request, "heartbeats:create"), timezone_name=data["timezone"], **values
        )

    def update(self, request: HttpRequest, row: Heartbeat, data: dict[str, Any]) -> Heartbeat:
        """Change a heartbeat."""
        changes = {name: value for name, value in data.items() if name != "kind"}
        return services.update_heartbeat(
            heartbeat_id=row.pk, actor=require(request, "heartbeats:update"), changes=changes
        )

    def remove(self, request: HttpRequest, row: Heartbeat) -> None:
        """Remove a heartbeat."""
        services.delete_heartbeat(heartbeat_id=row.pk, actor=require(request, "heartbeats:delete"))

    def delete_warning(self, row: Heartbeat) -> str:
        """Say what goes with it."""
        return f"The ping address of {row.name} answers 404 at once; jobs that still call it will notice nothing else."

    def detail_context(self, request: HttpRequest, row: Heartbeat) -> dict[str, Any]:
        """Return the coming runs, what it sent, how it ran, and the texts to paste."""
        pings = list(Ping.objects.filter(num=row.num).order_by("-at", "-n")[:25])
        runs = list(Run.objects.filter(num=row.num).order_by("-at", "-n")[:15])
        ready = snippets(row)
        return {
            "now": row.state,
            "schedule": schedule_words(row),
            "meaning": status_words(row),
            "ping_url": selectors.ping_url(row),
            "next_runs": selectors.next_runs(row, 5),
            "days": daily_cells(selectors.daily_uptime(row, 90)),
            "pings": [{"at": of_ms(ping.at), "one": ping} for ping in pings],
            "runs": [{"at": of_ms(run.at), "one": run} for run in runs],
            "snippets": [(name, title, ready[name]) for name, title in SNIPPET_TITLES.items() if name in ready],
        }


navigate(WATCH, 30, "Heartbeats", icon="ecg_heart", url="admin:monitors_heartbeat_changelist", code="heartbeats:view")
