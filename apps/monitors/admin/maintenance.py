"""Maintenance windows in the console."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.words import spoken
from apps.core.admin.zones import zone_of
from apps.core.templatetags.console import ago, badge
from apps.fleet.models import Server
from apps.monitors.api.maintenance.serializers import state_of
from apps.monitors.models import Endpoint, Heartbeat, MaintenanceWindow
from apps.monitors.occurrences import Occurrence
from apps.monitors.querysets.maintenance import ACTIVE, COMPLETED, UPCOMING
from apps.monitors.schedules import is_zone
from apps.monitors.services import maintenance_windows as services

CHOICES_MOST = 500
_LOOKS = {ACTIVE: ("running", "Open now", "warn"), UPCOMING: ("pending", "Coming", "info"),
          COMPLETED: ("ended", "Over", "")}  # fmt: skip
_LOCAL = "%Y-%m-%dT%H:%M"
#: Fields that matter to some kinds of windows only.
_ONLY_FOR = {"weekdays": "weekly", "start_time": "weekly", "cron": "cron", "duration_s": "weekly|cron"}


def _moment_field(label: str, help_text: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "class": "wk-short"}, format=_LOCAL)
    return forms.DateTimeField(required=False, label=label, help_text=help_text, widget=widget)


class MaintenanceForm(ConsoleForm):
    """When work is done, and on what."""

    title = forms.CharField(max_length=255, help_text="What is done, e.g. Database upgrade.")
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    enabled = forms.BooleanField(required=False, initial=True)
    kind = forms.ChoiceField(label="Comes", choices=MaintenanceWindow.Kind.choices, initial="once")
    timezone = forms.CharField(
        initial="UTC", label="Time zone", help_text="All times here are of this zone, e.g. Europe/Berlin."
    )
    starts_at = _moment_field("Begins", "Of a recurring window: not before this; may be empty.")
    ends_at = _moment_field("Ends", "Of a recurring window: not after this; may be empty.")
    weekdays = forms.MultipleChoiceField(
        required=False,
        choices=[(str(number), word.capitalize()) for number, word in enumerate(services.WEEKDAYS)],
        widget=forms.CheckboxSelectMultiple,
    )
    start_time = forms.TimeField(
        required=False, label="Opens at", widget=forms.TimeInput(attrs={"type": "time", "class": "wk-short"})
    )
    cron = forms.CharField(
        required=False,
        label="Cron expression",
        help_text="Minute, hour, day of month, month, day of week: 0 2 1 * * is 02:00 on each first of a month.",
    )
    duration_s = DurationField(
        required=False,
        label="Stays open for",
        help_text="On the wall clock: three hours from 01:00 end at 04:00 also where the clocks change in between.",
    )
    all_targets = forms.BooleanField(required=False, label="Everything that is watched")
    tags = WordsField(required=False, help_text="Whatever carries one of these tags; with commas between.")
    targets = forms.MultipleChoiceField(
        required=False,
        label="Single things",
        widget=forms.SelectMultiple(attrs={"size": 8}),
        help_text="For many, give them a tag and name that.",
    )
    groups = (
        ("Work", "", ("title", "description", "enabled")),
        ("When", "", ("kind", "timezone", "starts_at", "ends_at")),
        ("How it recurs", "", ("weekdays", "start_time", "cron", "duration_s")),
        ("What it is for", "Failures of these count as maintenance while the window is open.",
         ("all_targets", "tags", "targets")),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = set((kwargs.get("initial") or {}).get("targets", ()))
        for name, kinds in _ONLY_FOR.items():
            self.fields[name].when = f"kind={kinds}"  # type: ignore[attr-defined]
            self.fields[name].asked = True  # type: ignore[attr-defined]
        field: Any = self.fields["targets"]
        field.choices = [
            (title, found)
            for title, kind, rows in (
                ("Endpoints", "endpoint", Endpoint.objects),
                ("Heartbeats", "heartbeat", Heartbeat.objects),
                ("Servers", "server", Server.objects),
            )
            if (found := _choices(kind, rows, chosen))
        ]

    def clean(self) -> dict[str, Any]:
        """Read the moments in the window's zone, and leave out what its kind has no use for."""
        data = dict(super().clean() or self.cleaned_data)
        zone = data.get("timezone") or "UTC"
        if is_zone(zone):
            for name in ("starts_at", "ends_at"):
                moment = data.get(name)
                if moment is not None:
                    data[name] = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        kind = data.get("kind")
        if kind == "once":
            data |= {"weekdays": [], "start_time": None, "duration_s": None}
        if kind != "cron":
            data["cron"] = ""
        elif kind == "cron":
            data |= {"weekdays": [], "start_time": None}
        data["targets"] = [tuple(word.split(":", 1)) for word in data.get("targets", ())]
        return data


def _choices(kind: str, rows: Any, chosen: set[str]) -> list[tuple[str, str]]:
    named = rows.order_by("name").values_list("pk", "name")
    found = [(f"{kind}:{pk}", name) for pk, name in named[:CHOICES_MOST]]
    missing = {word.split(":", 1)[1] for word in chosen if word.startswith(f"{kind}:")} - {
        word.split(":", 1)[1] for word, _ in found
    }
    return found + [(f"{kind}:{pk}", name) for pk, name in named.filter(pk__in=missing)] if missing else found


class StateFilter(admin.SimpleListFilter):
    """Windows by state."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states."""
        return [(ACTIVE, "Open now"), (UPCOMING, "Coming"), (COMPLETED, "Over")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.in_state(self.value()) if self.value() else queryset


def _end(request: HttpRequest, row: MaintenanceWindow, note: str) -> str:
    services.end_window(window_id=row.pk, actor=require(request, "maintenance:update"))
    return f"{row.title} is over; from now on failures count again."


@admin.register(MaintenanceWindow)
class MaintenanceAdmin(ConsoleAdmin):
    """Announced work."""

    codes: ClassVar = {
        "view": "maintenance:view",
        "add": "maintenance:create",
        "change": "maintenance:update",
        "delete": "maintenance:delete",
    }
    subject_kind = "maintenance"
    list_title = "Maintenance"
    intro = "Announced work. While a window is open, failures of its targets count as maintenance, not as downtime."
    add_label = "Plan maintenance"
    empty: ClassVar = (
        "engineering",
        "No maintenance planned",
        "Plan a window before you work on something: checks go on, but its uptime is not touched and nobody is woken.",
    )
    form_class = MaintenanceForm
    list_display = ("window", "state", "when", "coming", "what")
    list_filter = (StateFilter,)
    search_fields = ("title", "description")
    search_help_text = "Title"
    ordering = ("-id",)
    live_events = "maintenance.*"
    live_every = 2000
    transitions = (
        Transition(
            "end",
            "End now",
            "stop_circle",
            "maintenance:update",
            _end,
            offered=lambda row: state_of(row) == ACTIVE,
            ask="End this window now? A recurring one opens again at its next time.",
            tone="primary",
        ),
    )

    def title_of(self, row: MaintenanceWindow) -> str:
        """Return what is done."""
        return row.title

    def row_tone(self, row: MaintenanceWindow) -> str:
        """Mark what is open, and calm down what is over."""
        return {ACTIVE: "warn", COMPLETED: "muted"}.get(state_of(row), "")

    @column("Window", order="title")
    def window(self, row: MaintenanceWindow) -> SafeString:
        """Show title and what is wrong with it."""
        return format_html("{}<span class='sub'>{}</span>", row.title, row.fault or row.description[:120])

    @column("State", css="tight")
    def state(self, row: MaintenanceWindow) -> SafeString:
        """Show how it stands."""
        if not row.enabled:
            return badge("off")
        return badge("failed", "Faulty") if row.fault else badge(*_LOOKS[state_of(row)])

    @column("When")
    def when(self, row: MaintenanceWindow) -> str:
        """Show when it comes, in words."""
        return schedule_words(row)

    @column("Opens or closes", css="tight quiet")
    def coming(self, row: MaintenanceWindow) -> Any:
        """Show what comes next."""
        return ago(row.next_change_at, "never") if row.enabled and not row.fault else ago(None, "never")

    @column("For", css="quiet")
    def what(self, row: MaintenanceWindow) -> str:
        """Show what it is for."""
        return target_words(row)

    def facts(self, request: HttpRequest, row: MaintenanceWindow) -> list[tuple[str, Any]]:
        """Return state, times and the next five openings."""
        found = services.next_occurrences(row)
        openings = format_html_join("", "<div>{}</div>", ((occurrence_words(one, row.timezone),) for one in found))
        return [
            ("State", self.state(row)),
            *([("Fault", row.fault)] if row.fault else []),
            ("Comes", schedule_words(row)),
            ("Next openings", openings or "none"),
            ("For", target_words(row)),
            *([("Description", row.description)] if row.description else []),
        ]

    def initial(self, request: HttpRequest, row: MaintenanceWindow | None) -> dict[str, Any]:
        """Return the form's values, moments in the window's zone."""
        if row is None:
            return {"timezone": zone_of(request).key, **super().initial(request, None)}
        values = {name: getattr(row, name) for name in services.FIELDS}
        for name in ("starts_at", "ends_at"):
            local = _local(values[name], row.timezone)
            values[name] = local.replace(tzinfo=None) if local is not None else None
        values["weekdays"] = [str(day) for day in row.weekdays]
        values["targets"] = [f"{kind}:{pk}" for kind, pk in row.targets]
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> MaintenanceWindow:
        """Plan a window."""
        return services.create_window(actor=require(request, "maintenance:create"), values=data)

    def update(self, request: HttpRequest, row: MaintenanceWindow, data: dict[str, Any]) -> MaintenanceWindow:
        """Change a window."""
        return services.update_window(window_id=row.pk, actor=require(request, "maintenance:update"), values=data)

    def remove(self, request: HttpRequest, row: MaintenanceWindow) -> None:
        """Remove a window."""
        services.delete_window(window_id=row.pk, actor=require(request, "maintenance:delete"))

    def delete_warning(self, row: MaintenanceWindow) -> str:
        """Say what stays."""
        return f"{row.title} never opens again. What was recorded while it was open stays out of the uptime."


def schedule_words(row: MaintenanceWindow) -> str:
    """Return when a window comes, in words."""
    length = f", for {spoken(row.duration_s)}" if row.duration_s else ""
    if row.kind == "weekly":
        days = ", ".join(services.WEEKDAYS[day].capitalize()[:3] for day in row.weekdays if day in range(7))
        start = f"{row.start_time:%H:%M}" if row.start_time else "?"
        return f"{days} at {start}{length} ({row.timezone})"
    if row.kind == "cron":
        return f"{row.cron}{length} ({row.timezone})"
    if row.starts_at is None or row.ends_at is None:
        return "once"
    return f"once, {occurrence_words(Occurrence(row.starts_at, row.ends_at), row.timezone)}"


def occurrence_words(one: Occurrence, zone: str) -> str:
    """Return an opening on the clock of a zone."""
    begin, end = _local(one.starts_at, zone), _local(one.ends_at, zone)
    assert begin is not None and end is not None
    last = f"{end:%H:%M}" if begin.date() == end.date() else f"{end:%a %Y-%m-%d %H:%M}"
    return f"{begin:%a %Y-%m-%d %H:%M} to {last} ({zone})"


def target_words(row: MaintenanceWindow) -> str:
    """Return what a window is for, in words."""
    if row.all_targets:
        return "everything"
    parts = [f"tag {name}" for name in row.tags]
    if row.targets:
        parts.append(f"{len(row.targets)} single thing{'s' if len(row.targets) != 1 else ''}")
    return ", ".join(parts) or "nothing"


def _local(moment: datetime | None, zone: str) -> datetime | None:
    if moment is None:
        return None
    return moment.astimezone(ZoneInfo(zone) if is_zone(zone) else UTC)


navigate(WATCH, 60, "Maintenance", icon="engineering", url="admin:monitors_maintenancewindow_changelist",
         code="maintenance:view")  # fmt: skip
