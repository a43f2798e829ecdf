"""Silences in the console, and what an alert's page says of why people were told."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.alerts import services
from apps.alerts.models import Alert, Silence
from apps.alerts.services.silences import muted_by_silences
from apps.alerts.services.why import why
from apps.core import registries
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.admin.zones import zone_of
from apps.core.templatetags.console import ago, badge, exact

SOURCES = [
    ("endpoint", "Endpoints"),
    ("heartbeat", "Heartbeats"),
    ("certificate", "Certificates"),
    ("server", "Servers"),
    ("log", "Log rules"),
    ("external", "Other systems"),
]
NAMED = 5
NAMES_MOST = 2_000


def tomorrow_at_nine(zone: ZoneInfo, *, now: datetime | None = None) -> datetime:
    """Return nine o'clock of tomorrow's morning on the wall clock of a zone."""
    day = (now or timezone.now()).astimezone(zone).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, 9, tzinfo=zone)


class SilenceForm(ConsoleForm):
    """What is silenced, and until when."""

    sources = forms.MultipleChoiceField(
        choices=SOURCES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="About",
        help_text="None chosen: everything.",
    )
    entities = WordsField(
        required=False,
        label="Things",
        help_text="Names, with * for any letters (web-*), or ids; apart by commas. Empty: all things.",
    )
    levels = forms.MultipleChoiceField(
        choices=Alert.Level.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: every level. What gets worse than the levels chosen is told.",
    )
    tags = WordsField(required=False, help_text="Alerts that carry one of these tags; empty: all.")
    all_alerts = forms.BooleanField(
        required=False,
        label="Yes, silence EVERY alert",
        help_text="Needed only where nothing above is filled in: then nobody is told of anything until the end.",
    )
    duration = DurationField(required=False, initial=3600, label="For", help_text="A silence always ends.")
    ends_at = forms.DateTimeField(
        required=False,
        label="Or until",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Leave “For” as it is or empty then.",
    )
    starts_at = forms.DateTimeField(
        required=False,
        label="From",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Empty: now.",
    )
    reason = forms.CharField(max_length=500, required=False, help_text="Shown with everything it keeps quiet.")
    groups = (
        ("What", "all that is filled in must match", ("sources", "entities", "levels", "tags", "all_alerts")),
        ("How long", "", ("duration", "ends_at", "starts_at")),
        ("Why", "", ("reason",)),
    )
    service_names: ClassVar = {
        "matchers.source": "sources",
        "matchers.sources": "sources",
        "matchers.entities": "entities",
        "matchers.levels": "levels",
        "matchers.tags": "tags",
    }
    in_readers_zone = True

    def clean(self) -> dict[str, Any]:
        """Demand that silencing everything is meant."""
        data = super().clean() or {}
        if not any(data.get(name) for name in ("sources", "entities", "levels", "tags", "all_alerts")):
            self.add_error("all_alerts", "Say what is to be silent, or tick this box if really everything is.")
        if data.get("duration") and data.get("ends_at"):
            if "duration" in self.changed_data:
                self.add_error("ends_at", "Give a length or an end, not both.")
            else:
                data["duration"] = None  # the length is only what the form began with
        return data


def spoken_about(rows: Iterable[Silence]) -> dict[UUID, str]:
    """Return what each silences, in words; things given by their id by the name that their alerts bear."""
    rows = list(rows)
    wanted = {one for row in rows for one in row.entities}
    kinds = [kind for kind, _ in registries.subjects.items()]
    about = Alert.objects.filter(subject_kind__in=kinds, subject_id__in=wanted)
    found = about.order_by().values_list("subject_id", "subject_name").distinct()
    names = dict(found[:NAMES_MOST]) if wanted else {}
    said = {}
    for row in rows:
        words = row.about
        for one in row.entities:
            words = words.replace(one, names.get(one, one))
        said[row.id] = words
    return said


class StateFilter(admin.SimpleListFilter):
    """Silences by state; those in force and to come where nothing is chosen."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the choices."""
        return [("over", "Over"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        """Name the default for what it is."""
        for index, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "In force and to come"} if index == 0 else choice

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        now = timezone.now()
        running = queryset.filter(cancelled_at__isnull=True, ends_at__gt=now)
        if self.value() == "all":
            return queryset
        return queryset.exclude(pk__in=running.values("pk")) if self.value() == "over" else running


def _end(request: HttpRequest, row: Silence, note: str) -> str:
    services.cancel_silence(silence_id=row.id, actor=require(request, "silences:delete"))
    return "The silence is over. What still stands is told now."


@admin.register(Silence)
class SilenceAdmin(ConsoleAdmin):
    """For a time nobody is told of the alerts that match."""

    codes: ClassVar = {"view": "silences:view", "add": "silences:create"}
    list_title = "Silences"
    intro = "What matches is watched, recorded and shown as ever; nobody is told until the silence ends."
    add_label = "Silence alerts"
    empty: ClassVar = (
        "notifications_active",
        "Nothing is silenced",
        "Before work that makes noise, silence what it concerns; what still stands afterwards is told then.",
    )
    form_class = SilenceForm
    list_display = ("what", "state_shown", "until", "mutes", "by")
    list_filter = (StateFilter,)
    search_fields = ("reason", "created_by")
    search_help_text = "Reason or person"
    ordering = ("-id",)
    live_events = "silence.*"
    transitions = (
        Transition(
            "end",
            "End now",
            "notifications_active",
            "silences:delete",
            _end,
            offered=lambda row: row.state in ("active", "scheduled"),
            ask="End this silence? What still stands is told at once.",
            tone="primary",
        ),
    )

    def title_of(self, row: Silence) -> str:
        """Return what is silenced."""
        return "Silence of every alert" if row.is_for_all else f"Silence: {spoken_about([row])[row.id]}"[:120]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Offer no change: a silence is ended, and another one made."""
        return False

    def row_tone(self, row: Silence) -> str:
        """Mark what silences everything, and calm down what is over."""
        if row.state in ("ended", "cancelled"):
            return "muted"
        return "crit" if row.is_for_all else ""

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Find what each mutes, and the names of what each is about, in two queries."""
        muted, said = muted_by_silences(rows), spoken_about(rows)
        for row in rows:
            row.said = said[row.id]
            row.muted_now = muted.get(row.id, [])

    @column("Silenced", css="wide")
    def what(self, row: Any) -> SafeString:
        """Show the filters and the reason."""
        about = "EVERY ALERT" if row.is_for_all else row.said
        return format_html("{}<span class='sub'>{}</span>", about[:1].upper() + about[1:], row.reason)

    @column("State", css="tight")
    def state_shown(self, row: Silence) -> SafeString:
        """Show whether it is in force."""
        return badge({"active": "silenced", "scheduled": "pending", "cancelled": "ended"}.get(row.state, "ended"))

    @column("Until", css="tight")
    def until(self, row: Silence) -> Any:
        """Show its end."""
        return ago(row.cancelled_at or row.ends_at)

    @column("Mutes now")
    def mutes(self, row: Any) -> str:
        """Show what it keeps quiet now."""
        alerts = row.muted_now
        if not alerts:
            return "nothing now" if row.is_active else "–"
        names = ", ".join(alert.subject_name for alert in alerts[:3])
        more = f" and {len(alerts) - 3} more" if len(alerts) > 3 else ""
        return f"{len(alerts)}: {names}{more}"

    @column("By", css="tight quiet")
    def by(self, row: Silence) -> str:
        """Show who made it."""
        return row.created_by

    def initial(self, request: HttpRequest, row: Silence | None) -> dict[str, Any]:
        """Return what the page that led here asks for."""
        given = request.GET
        return {name: given.getlist(name) for name in ("sources", "levels", "entities", "tags") if name in given} | {
            name: given[name] for name in ("reason",) if name in given
        }

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Silence:
        """Silence."""
        return services.create_silence(
            actor=require(request, "silences:create"),
            matchers={name: data[name] for name in ("sources", "entities", "levels", "tags")},
            starts_at=data["starts_at"],
            ends_at=data["ends_at"],
            duration_s=data["duration"],
            reason=data["reason"],
        )

    def facts(self, request: HttpRequest, row: Silence) -> list[tuple[str, Any]]:
        """Return its filters, times and what it mutes now."""
        alerts = muted_by_silences([row]).get(row.id, [])
        links = format_html_join(
            ", ",
            '<a class="wk-link" href="{}">{}</a>',
            ((reverse("admin:alerts_alert_detail", args=[one.pk]), one.subject_name) for one in alerts[:50]),
        )
        return [
            ("Silenced", "EVERY ALERT: nobody is told of anything" if row.is_for_all else spoken_about([row])[row.id]),
            ("Why", row.reason or "not said"),
            ("From", exact(row.starts_at)),
            ("Until", exact(row.ends_at)),
            ("By", row.created_by),
            *([("Ended", exact(row.cancelled_at)), ("Ended by", row.cancelled_by)] if row.cancelled_at else []),
            (f"Mutes now ({len(alerts)})", links or "nothing"),
        ]

    def detail_context(self, request: HttpRequest, row: Silence) -> dict[str, Any]:
        """Show its state."""
        return {"state": "silenced" if row.is_active else "pending" if row.state == "scheduled" else "ended"}


# --- on an alert's page --------------------------------------------------------------------------------------------


def silence_one(request: HttpRequest, row: Alert, ends_at: datetime) -> str:
    """Silence what an alert is about, and say so."""
    services.create_silence(
        actor=require(request, "silences:create"),
        matchers={"source": row.source, "entity": row.subject_id},
        ends_at=ends_at,
        reason=f"Silenced from the alert about {row.subject_name}",
    )
    return f"{row.subject_name} is silent until {ends_at.astimezone(zone_of(request)):%Y-%m-%d %H:%M %Z}."


def _for(hours: int) -> Any:
    return lambda request, row, note: silence_one(request, row, timezone.now() + timedelta(hours=hours))


def _until_morning(request: HttpRequest, row: Alert, note: str) -> str:
    return silence_one(request, row, tomorrow_at_nine(zone_of(request)))


def _is_loud(row: Alert) -> bool:
    return row.is_open and not row.is_silenced


SILENCE_BUTTONS = (
    Transition("silence_1h", "1 h", "notifications_off", "silences:create", _for(1), offered=_is_loud),
    Transition("silence_8h", "8 h", "notifications_off", "silences:create", _for(8), offered=_is_loud),
    Transition(
        "silence_morning", "Until tomorrow 9:00", "notifications_off", "silences:create", _until_morning,
        offered=_is_loud,
    ),
)  # fmt: skip


def _silence_panel(request: HttpRequest, kind: str, row: Alert) -> dict[str, Any] | None:
    if not row.is_open:
        return None
    buttons = [
        {"transition": one, "url": reverse("admin:alerts_alert_do", args=[row.pk, one.name])}
        for one in SILENCE_BUTTONS
        if may(request, one.code) and one.offered(row)
    ]
    custom = urlencode({"sources": row.source, "entities": row.subject_id, "reason": ""})
    cause = ""
    if row.muted_by == Alert.Mute.SILENCE:
        cause = reverse("admin:alerts_silence_detail", args=[row.cause_id])
    return {
        "alert": row,
        "buttons": buttons,
        "custom_url": f"{reverse('admin:alerts_silence_add')}?{custom}" if may(request, "silences:create") else "",
        "cause_url": cause,
    }


def _why_panel(request: HttpRequest, kind: str, row: Alert) -> dict[str, Any]:
    return why(row)


subject_panels.register(
    "alert silence", SubjectPanel(("alert",), "console/panels/silence.html", _silence_panel, "alerts:view")
)
subject_panels.register("alert why", SubjectPanel(("alert",), "console/panels/why.html", _why_panel, "alerts:view"))
navigate(
    RESPOND,
    20,
    "Silences",
    icon="notifications_off",
    url="admin:alerts_silence_changelist",
    code="silences:view",
    badge=lambda request: str(Silence.objects.running(timezone.now()).count() or ""),
    badge_tone="warning",
)
