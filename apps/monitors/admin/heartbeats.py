"""Heartbeats in the console."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.words import spoken
from apps.core.errors import Invalid
from apps.core.runtime_settings import parse_duration
from apps.core.templatetags.console import ago, badge
from apps.monitors.admin.endpoints import TagFilter, bar_cells
from apps.monitors.admin.heartbeat_form import HeartbeatForm
from apps.monitors.models import Heartbeat, Ping, Run
from apps.monitors.models.heartbeats import of_ms
from apps.monitors.selectors import heartbeats as selectors
from apps.monitors.selectors.bars import daily_bars
from apps.monitors.selectors.doctor import diagnose, local_times
from apps.monitors.selectors.snippets import TITLES, snippets
from apps.monitors.services import heartbeats as services
from apps.monitors.services.heartbeat_rules import preview
from apps.monitors.services.maintenance import active_windows
from apps.monitors.states.heartbeats import DOWN, LATE, NEW, PAUSED, STARTED, UNKNOWN, UP

WORST_FIRST = Case(
    *(
        When(state__status=status, then=Value(rank))
        for rank, status in enumerate((DOWN, LATE, UNKNOWN, STARTED, UP, NEW, PAUSED))
    ),
    default=Value(9),
    output_field=IntegerField(),
)
LOG_PAGE = 100
LOG_KINDS = (("", "All"), ("success", "Successes"), ("fail", "Failures"), ("start", "Starts"), ("log", "Log lines"))


class StatusFilter(admin.SimpleListFilter):
    """Heartbeats by status."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, worst first."""
        names = {DOWN: "Down", LATE: "Late", UNKNOWN: "Unknown", STARTED: "Running", UP: "Up", NEW: "New"}
        return [*names.items(), (PAUSED, "Paused")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__status=self.value()) if self.value() else queryset


def schedule_words(row: Heartbeat) -> str:
    """Return when it is expected, in words."""
    if row.cron:
        return f"{row.cron} ({row.timezone})"
    return f"every {spoken(row.interval_seconds)}"


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
    page_scripts = ("console/heartbeat.js",)
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
            values["expected_pings"] = row.expected_pings or None
            if row.kind == Heartbeat.CALENDAR:
                values["on_calendar"], values["cron"] = row.cron, ""
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

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the whole log of a heartbeat, and the preview of the form's schedule."""
        return [
            ("preview/", "preview", self.preview_view),
            ("<str:object_id>/log/", "log", self.log_view),
        ]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Show what the schedule in the form would do; the form asks while one types."""
        require(request, "heartbeats:view")
        given = request.GET
        values: dict[str, Any] = {"timezone": given.get("timezone", "").strip() or "UTC"}
        context: dict[str, Any] = {"problems": [], "seen": None}
        try:
            wanted = {"cron": "cron", "calendar": "on_calendar"}.get(given.get("kind", ""), "interval_seconds")
            values[wanted] = _seconds(given, wanted) if wanted == "interval_seconds" else given.get(wanted, "")
            values["grace_seconds"] = _seconds(given, "grace_seconds")
            values["early_seconds"] = _seconds(given, "early_seconds") if wanted != "interval_seconds" else None
            schedule, seen = preview(values)
            context.update(seen=seen, zone=schedule.timezone, runs=_spoken_runs(seen.runs, schedule.timezone))
        except Invalid as error:
            context["problems"] = [
                f"{text[:1].upper()}{text[1:]}." for texts in error.problems.values() for text in texts
            ]
        return TemplateResponse(request, "console/partials/schedule_preview.html", context)

    def log_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the log of pings, newest first, a page at a time."""
        require(request, "heartbeats:view")
        row = self.row_or_404(request, object_id)
        kind = request.GET.get("kind", "")
        pings, before = selectors.log_page(row, kind=kind, before=request.GET.get("before", ""), count=LOG_PAGE)
        context = self.page_context(
            request,
            title=f"Log of {row.name}",
            row=row,
            pings=pings,
            before=before,
            kind=kind,
            kinds=LOG_KINDS,
            is_first="before" not in request.GET,
            back_url=self.page_of(row),
        )
        return TemplateResponse(request, "console/heartbeat_log.html", context)

    def detail_context(self, request: HttpRequest, row: Heartbeat) -> dict[str, Any]:
        """Return the coming runs, what it sent, how it ran, what the doctor says, and the texts to paste."""
        pings = list(Ping.objects.filter(num=row.num).order_by("-at", "-n")[:25])
        runs = list(Run.objects.filter(num=row.num).order_by("-at", "-n")[:15])
        ready = snippets(row)
        found = diagnose(row)
        return {
            "now": row.state,
            "schedule": schedule_words(row),
            "meaning": found["summary"],
            "doctor": found,
            "sources": selectors.sources_of(row),
            "ping_url": selectors.ping_url(row),
            "slug_url": selectors.slug_url(row),
            "mail_address": selectors.mail_address(row),
            "next_runs": _spoken_runs([run["at"] for run in found["next_runs"]], row.timezone),
            "log_url": reverse(f"admin:{self._name('log')}", args=[row.pk]),
            "maintenance": active_windows("heartbeat", row.pk, [tag.name for tag in row.tags.all()]),
            "days": bar_cells(daily_bars("heartbeat", [row.num], 90)[row.num]),
            "pings": [{"at": of_ms(ping.at), "one": ping} for ping in pings],
            "runs": [{"at": of_ms(run.at), "one": run} for run in runs],
            "snippets": [(name, title, ready[name]) for name, title in TITLES.items()],
        }


def _seconds(given: Any, name: str) -> int | None:
    text = given.get(name, "").strip()
    if not text:
        return None
    try:
        return int(parse_duration(text))
    except (ValueError, OverflowError):
        raise Invalid({name: "give a time such as 30s, 5m or 1h30m"}) from None


def _spoken_runs(runs: list[Any], zone: str) -> list[dict[str, Any]]:
    """Return coming runs with what the clock of their zone shows then."""
    named = zip(runs, local_times(runs, zone), strict=True)
    return [
        {"at": at, "local": datetime.fromisoformat(one["local"]).strftime("%a %d %b %Y %H:%M")} for at, one in named
    ]


navigate(WATCH, 30, "Heartbeats", icon="ecg_heart", url="admin:monitors_heartbeat_changelist", code="heartbeats:view")
