"""Alerts and thresholds in the console."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.alerts import selectors, services
from apps.alerts.models import Alert, Threshold
from apps.alerts.states import ACKNOWLEDGED, ACTIVE, RESOLVED
from apps.core import registries
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, choices
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import TOP, Panel, SubjectPanel, panels, subject_panels
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge
from apps.fleet.models import Server

EVENTS = "alert.*"
SHOWN_ON_OVERVIEW = 12


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
        return badge("silenced") if row.is_silenced and row.is_open else badge(row.status)

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
        values = evidence.pop("values", None) or []
        processes = evidence.pop("processes", None) or evidence.pop("top_processes", None) or []
        earlier = Alert.objects.filter(subject_kind=row.subject_kind, subject_id=row.subject_id).exclude(pk=row.pk)[:8]
        return {
            "course": course,
            "subject": subject_link(row.subject_kind, row.subject_id, row.subject_name),
            "values": [value[1] if isinstance(value, list | tuple) else value for value in values],
            "value_times": [values[0][0], values[-1][0]] if values and isinstance(values[0], list | tuple) else [],
            "processes": processes,
            "evidence": [
                (name.replace("_", " ").capitalize(), value)
                for name, value in evidence.items()
                if value not in (None, "", [], {})
            ],
            "earlier": earlier,
        }


class ThresholdForm(ConsoleForm):
    """A limit."""

    server = forms.ModelChoiceField(
        Server.objects.order_by("name"),
        required=False,
        empty_label="All servers",
        help_text="A server's own limit replaces the one for all.",
    )
    metric = forms.ChoiceField(choices=Threshold.Metric.choices)
    comparison = forms.ChoiceField(choices=Threshold.Comparison.choices, initial=Threshold.Comparison.GTE, label="Is")
    value = forms.FloatField(
        label="Limit",
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Percent, but for load and temperature.",
    )
    level = forms.ChoiceField(choices=choices(Alert.Level.choices), initial="warning")
    for_s = DurationField(label="For", initial=0, help_text="So long it must last before an alert opens.")
    clear_value = forms.FloatField(
        required=False,
        label="Clears at",
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Where empty: 5 % of the limit on the good side, so that a value on the edge makes one alert, "
        "not many.",
    )
    enabled = forms.BooleanField(required=False, initial=True)
    groups = (
        ("Limit", "", ("server", "metric", "comparison", "value")),
        ("Alert", "", ("level", "for_s", "clear_value", "enabled")),
    )
    service_names: ClassVar = {"metric_type": "metric", "threshold_value": "value", "for": "for_s"}


@admin.register(Threshold)
class ThresholdAdmin(ConsoleAdmin):
    """Limits on servers' metrics."""

    codes: ClassVar = {
        "view": "thresholds:view",
        "add": "thresholds:create",
        "change": "thresholds:update",
        "delete": "thresholds:delete",
    }
    list_title = "Thresholds"
    intro = "Limits on what servers measure. A server's own limit replaces the global one of its metric and level."
    add_label = "Add threshold"
    empty: ClassVar = ("speed", "No threshold", "Without one, no alert comes from a server's figures.")
    form_class = ThresholdForm
    list_display = ("limit", "level_shown", "where", "lasting", "active")
    list_filter = ("metric", "level")
    ordering = ("metric", "level", "id")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the thresholds with their servers."""
        return super().get_queryset(request).select_related("server")

    def row_tone(self, row: Threshold) -> str:
        """Calm down what is switched off."""
        return "" if row.enabled else "muted"

    @column("Limit", order="metric")
    def limit(self, row: Threshold) -> str:
        """Show the rule."""
        return str(row)

    @column("Level", order="level", css="tight")
    def level_shown(self, row: Threshold) -> SafeString:
        """Show the level of its alerts."""
        return badge(row.level)

    @column("Servers", order="server__name")
    def where(self, row: Threshold) -> str:
        """Show where it holds."""
        return row.server.name if row.server else "all servers"

    @column("Must last", css="quiet")
    def lasting(self, row: Threshold) -> str:
        """Show how long a breach must last."""
        return spoken(row.for_s) if row.for_s else "at once"

    @column("In force", css="tight")
    def active(self, row: Threshold) -> SafeString:
        """Show whether it is switched on."""
        return badge("enabled" if row.enabled else "off")

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Threshold:
        """Add a threshold."""
        return services.create_threshold(actor=require(request, "thresholds:create"), values=data)

    def update(self, request: HttpRequest, row: Threshold, data: dict[str, Any]) -> Threshold:
        """Change a threshold."""
        return services.update_threshold(threshold_id=row.pk, actor=require(request, "thresholds:update"), values=data)

    def remove(self, request: HttpRequest, row: Threshold) -> None:
        """Remove a threshold."""
        services.delete_threshold(threshold_id=row.pk, actor=require(request, "thresholds:delete"))

    def page_of(self, row: Threshold) -> str:
        """Lead straight to the form: there is nothing else to see of a limit."""
        return self.path_to("change", row)

    def facts(self, request: HttpRequest, row: Threshold) -> list[tuple[str, Any]]:
        """Return the rule for those who may only read it."""
        return [
            ("Limit", str(row)),
            ("Level", badge(row.level)),
            ("Servers", self.where(row)),
            ("Must last", self.lasting(row)),
            ("Clears at", row.clear_value if row.clear_value is not None else "5 % on the good side"),
            ("In force", "yes" if row.enabled else "no"),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Come back to the list after saving."""
        answer = super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "POST" and isinstance(answer, HttpResponseRedirect):
            return HttpResponseRedirect(self.path_to("changelist"))
        return answer


def _open_panel(request: HttpRequest) -> dict[str, Any]:
    principal = require(request, "alerts:view")
    rows = selectors.open_alerts(principal)
    rank = {"critical": 0, "warning": 1, "info": 2}
    shown = sorted(rows[:200], key=lambda row: (row.status != ACTIVE, rank[row.level]))
    do = "admin:alerts_alert_do"
    listed = [
        {
            "alert": row,
            "url": reverse("admin:alerts_alert_detail", args=[row.pk]),
            "acknowledge_url": reverse(do, args=[row.pk, "acknowledge"])
            if row.status == ACTIVE and may(request, "alerts:acknowledge")
            else "",
        }
        for row in shown[:SHOWN_ON_OVERVIEW]
    ]
    worst = "crit" if any(row.level == "critical" for row in shown) else "warn"
    return {
        "alerts": listed,
        "total": len(shown),
        "more": max(0, len(shown) - len(listed)),
        "worst": worst,
        "acknowledge": AlertAdmin.transitions[0],
    }


def _subject_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    visible = Alert.objects.visible_to(require(request, "alerts:view"))
    if kind == "server":
        found = visible.filter(server_id=row.pk)
    else:
        found = visible.filter(subject_kind__in=(kind, "certificate"), subject_id=str(row.pk))
    alerts = list(found[:8])
    return {"alerts": alerts, "subject": str(row.pk)} if alerts else None


def _badge(request: HttpRequest) -> str:
    principal = require(request, "alerts:view")
    count = selectors.open_alerts(principal).order_by()[:100].count()
    return ("99+" if count > 99 else str(count)) if count else ""


panels.register("alerts", Panel(TOP, 0, "console/panels/alerts.html", _open_panel, "alerts:view", EVENTS))
subject_panels.register(
    "alerts",
    SubjectPanel(
        ("server", "endpoint", "heartbeat"), "console/panels/subject_alerts.html", _subject_panel, "alerts:view"
    ),
)
navigate(
    RESPOND,
    0,
    "Alerts",
    icon="notifications_active",
    url="admin:alerts_alert_changelist",
    code="alerts:view",
    badge=_badge,
)
navigate(RESPOND, 10, "Thresholds", icon="speed", url="admin:alerts_threshold_changelist", code="thresholds:view")
