"""Alerts in the console."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.alerts import services
from apps.alerts.admin.acknowledging import ACKNOWLEDGE_BUTTONS
from apps.alerts.admin.received import received_of
from apps.alerts.admin.silences import SILENCE_BUTTONS
from apps.alerts.models import Alert
from apps.alerts.states import ACKNOWLEDGED, ACTIVE, RESOLVED
from apps.core import registries
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge

EVENTS = "alert.*"
#: Why nothing is told of an alert now, for a narrow column.
MUTED: dict[str, str] = {
    Alert.Mute.SILENCE: "Silenced",
    Alert.Mute.MAINTENANCE: "Maintenance",
    Alert.Mute.DEPENDENCY: "Because of",
    Alert.Mute.WAITING: "Waiting",
    Alert.Mute.FLAPPING: "Flapping",
}
#: How a change before an alert is related to it.
NEAR = {
    "subject": "this thing",
    "server": "its server",
    "parent": "what it depends on",
    "tag": "shares a tag",
    "platform": "setting of Watchkeeper",
}


def subject_link(kind: str, identifier: str, name: str) -> SafeString:
    """Return the thing's name, as a link where its kind has a page."""
    known = registries.subjects.get(kind)
    if known is None:
        return format_html("{}", name)
    return format_html('<a class="wk-link" href="{}">{}</a>', known.url(identifier), name)


def _acknowledge(request: HttpRequest, row: Alert, note: str) -> str:
    services.acknowledge_alert(alert_id=row.id, actor=require(request, "alerts:acknowledge"), note=note)
    return f"You have taken {row.subject_name}. It stays open until it recovers."


def _resolve(request: HttpRequest, row: Alert, note: str) -> str:
    services.resolve_alert(alert_id=row.id, actor=require(request, "alerts:resolve"), note=note)
    return f"The alert about {row.subject_name} is resolved."


class StatusFilter(admin.SimpleListFilter):
    """Alerts by status; the open ones where nothing is chosen."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states."""
        return [("all", "All"), (ACTIVE, "Not acknowledged"), (ACKNOWLEDGED, "Acknowledged"), (RESOLVED, "Resolved")]

    def choices(self, changelist: Any) -> Any:
        """Name the default for what it is."""
        for index, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "Open"} if index == 0 else choice

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        value = self.value()
        if value == "all":
            return queryset
        return queryset.filter(status=value) if value else queryset.exclude(status=RESOLVED)


class LevelFilter(admin.SimpleListFilter):
    """Alerts of a level."""

    title, parameter_name = "level", "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the levels, worst first."""
        return list(reversed(Alert.Level.choices))

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the level chosen."""
        return queryset.filter(level=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """Alerts about a kind of thing."""

    title, parameter_name = "about", "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the sources."""
        return [
            ("endpoint", "Endpoints"),
            ("heartbeat", "Heartbeats"),
            ("certificate", "Certificates"),
            ("server", "Servers"),
            ("log", "Log rules"),
            ("external", "Other systems"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the source chosen."""
        return queryset.filter(source=self.value()) if self.value() else queryset


@admin.register(Alert)
class AlertAdmin(ConsoleAdmin):
    """What is or was wrong."""

    codes: ClassVar = {"view": "alerts:view"}
    list_title = "Alerts"
    intro = "What is wrong, worst and newest first. An alert closes by itself when its thing recovers."
    empty: ClassVar = (
        "task_alt",
        "No open alert",
        "Everything that is watched is well. What goes wrong will stand here, on the overview and in your inbox.",
    )
    list_display = ("what", "level_shown", "status_shown", "opened", "lasted")
    list_filter = (StatusFilter, LevelFilter, SourceFilter)
    search_fields = ("subject_name", "message")
    search_help_text = "Thing or message"
    ordering = ("-id",)
    live_events = EVENTS
    live_every = 800
    subject_kind = "alert"
    detail_template = "console/alert.html"
    transitions = (
        Transition(
            "acknowledge",
            "Acknowledge",
            "person_check",
            "alerts:acknowledge",
            _acknowledge,
            offered=lambda row: row.status == ACTIVE,
            note=True,
            ask="Acknowledge this alert?",
            tone="primary",
        ),
        Transition(
            "resolve",
            "Resolve",
            "task_alt",
            "alerts:resolve",
            _resolve,
            offered=lambda row: row.is_open,
            note=True,
            ask="Resolve this alert by hand?",
        ),
        *ACKNOWLEDGE_BUTTONS,
        *SILENCE_BUTTONS,
    )

    def title_of(self, row: Alert) -> str:
        """Return what the alert is about."""
        return row.subject_name

    def row_tone(self, row: Alert) -> str:
        """Mark open alerts by level, and calm down the resolved ones."""
        if not row.is_open:
            return "muted"
        return {"critical": "crit", "warning": "warn"}.get(row.level, "")

    @column("Alert")
    def what(self, row: Alert) -> SafeString:
        """Show the thing and the message."""
        return format_html("{}<span class='sub'>{}</span>", row.subject_name, row.message)

    @column("Level", css="tight")
    def level_shown(self, row: Alert) -> SafeString:
        """Show the level."""
        return badge(row.level)

    @column("Status", css="tight")
    def status_shown(self, row: Alert) -> SafeString:
        """Show the status and who has it."""
        if row.status == ACKNOWLEDGED:
            return format_html("{}<span class='sub'>by {}</span>", badge(row.status), row.acknowledged_by)
        if row.muted_by and row.is_open:
            word, cause = MUTED[row.muted_by], row.cause_name[:40]
            return format_html("{}<span class='sub'>{}</span>", badge("silenced", word), cause)
        return badge(row.status)

    @column("Opened", order="id", css="tight")
    def opened(self, row: Alert) -> Any:
        """Show when it opened."""
        return ago(row.opened_at)

    @column("Lasted", css="tight quiet")
    def lasted(self, row: Alert) -> str:
        """Show how long it lasted."""
        return spoken((row.resolved_at - row.opened_at).total_seconds()) if row.resolved_at else "open"

    def detail_context(self, request: HttpRequest, row: Alert) -> dict[str, Any]:
        """Return the alert's course, its evidence and earlier alerts of the same kind."""
        course = [("Opened", row.opened_at, row.message if not row.escalated_at else "")]
        if row.escalated_at:
            course.append(("Escalated", row.escalated_at, f"to {row.level}"))
        if row.acknowledged_at:
            course.append(("Acknowledged", row.acknowledged_at, f"by {row.acknowledged_by}"))
        if row.resolved_at:
            course.append(("Resolved", row.resolved_at, f"by {row.resolved_by}"))
        evidence = dict(row.evidence)
        changes = evidence.pop("changes", None) or []
        values = evidence.pop("values", None) or []
        processes = evidence.pop("processes", None) or evidence.pop("top_processes", None) or []
        received = received_of(evidence)
        earlier = Alert.objects.filter(subject_kind=row.subject_kind, subject_id=row.subject_id).exclude(pk=row.pk)[:8]
        return {
            "course": course,
            "changes": [{**one, "near": NEAR.get(one.get("near"), "")} for one in changes],
            # Those stand in a panel of their own.
            "transitions": [
                {"transition": one, "url": reverse("admin:alerts_alert_do", args=[row.pk, one.name])}
                for one in self.transitions
                if one not in SILENCE_BUTTONS and may(request, one.code) and one.offered(row)
            ],
            "subject": subject_link(row.subject_kind, row.subject_id, row.subject_name) + received.link,
            "values": [value[1] if isinstance(value, list | tuple) else value for value in values],
            "value_times": [values[0][0], values[-1][0]] if values and isinstance(values[0], list | tuple) else [],
            "processes": processes,
            "evidence": [
                (name.replace("_", " ").capitalize(), value)
                for name, value in evidence.items()
                if value not in (None, "", [], {})
            ]
            + received.lines,
            "earlier": earlier,
        }
