"""Sources of alerts in the console: which other systems post theirs, how they are set up, what arrived last."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.alerts import services
from apps.alerts.inbound import kinds
from apps.alerts.inbound.generic import FIELDS as PLACES
from apps.alerts.inbound.generic import OVER, OVER_FIELD
from apps.alerts.models import Alert, AlertSource, ReceivedAlert
from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField, choices
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge

#: Stands where the token would, which is shown once.
UNKNOWN_TOKEN = "<token>"
SHOWN_ALERTS = 12
_LEVELS = [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")]


class AlertSourceForm(ConsoleForm):
    """Another system and how its alerts are taken."""

    name = forms.CharField(max_length=100, help_text="Which one it is, e.g. “Prometheus in Berlin”.")
    kind = forms.ChoiceField(choices=AlertSource.Kind.choices, label="System")
    enabled = forms.BooleanField(required=False, initial=True, label="Its address works")
    default_level = forms.ChoiceField(
        required=False,
        choices=choices(_LEVELS, empty="As usual for the system"),
        label="Level where it names none",
        help_text="Alerts with a label “severity” or “level” (critical, warning, error, info …) bring their own.",
    )
    resolve_after_s = DurationField(
        required=False,
        label="Over without news after",
        help_text="Empty: when the other system says so, or names an end. JSON of your own: a day at first.",
    )
    tags = WordsField(
        required=False, help_text="Every alert of it gets these, apart by commas; rules and silences can name them."
    )
    tag_labels = WordsField(
        required=False, label="Labels that become tags", help_text="“team” makes the tag “team:blue” of team=blue."
    )
    groups = (
        ("Source", "", ("name", "kind", "enabled")),
        ("Its alerts", "", ("default_level", "resolve_after_s", "tags", "tag_labels")),
        (
            "Where things stand in its JSON",
            "JSON paths such as data.events[0].title; what is empty is looked for under the name shown in grey.",
            tuple(f"map_{name}" for name in (*PLACES, OVER_FIELD)),
        ),
    )
    service_names: ClassVar = {f"mapping.{name}": f"map_{name}" for name in (*PLACES, OVER_FIELD)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (path, meaning) in PLACES.items():
            self.fields[f"map_{name}"] = forms.CharField(
                required=False,
                max_length=200,
                label=name.replace("_", " ").capitalize(),
                help_text=meaning,
                widget=forms.TextInput(attrs={"placeholder": path, "class": "wk-short wk-mono"}),
            )
        self.fields[f"map_{OVER_FIELD}"] = WordsField(
            required=False,
            label="Words for “over”",
            help_text=f"Of the status. Empty: {', '.join(OVER)}.",
        )
        for name in (*PLACES, OVER_FIELD):
            self.fields[f"map_{name}"].when = "kind=generic"  # type: ignore[attr-defined]


class ChangeAlertSourceForm(AlertSourceForm):
    """A source that is there: what it is stays."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].disabled = True
        self.fields["kind"].help_text = "Stays what it is; add another source for the other system."


def values_of(data: dict[str, Any], *, is_new: bool) -> dict[str, Any]:
    """Return what the service takes of the form's values; what is left empty in a new one is as usual."""
    values = {name: data[name] for name in ("name", "kind", "enabled", "tags", "tag_labels")}
    if data["kind"] == AlertSource.Kind.GENERIC:
        values["mapping"] = {
            name: data[f"map_{name}"] for name in (*PLACES, OVER_FIELD) if data.get(f"map_{name}")
        }  # fmt: skip
    if data["default_level"] or not is_new:
        values["default_level"] = data["default_level"] or kinds[data["kind"]].default_level
    if data["resolve_after_s"] is not None or not is_new:
        values["resolve_after_s"] = data["resolve_after_s"]
    return values


def _show_token(request: HttpRequest, row: AlertSource, token: str) -> HttpResponse:
    """Show a source's address, this once, with the text to paste over there."""
    console: Any = admin.site._registry[AlertSource]
    url = f"{settings.PUBLIC_URL}/alerts/in/{token}"
    kind = kinds[row.kind]
    context = console.page_context(
        request,
        title=f"The address of {row.name}",
        rights=" ".join(kind.steps()),
        secret=url,
        usage=kind.snippet(url, token),
        done_url=console.page_of(row),
    )
    response = TemplateResponse(request, "console/secret.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _rotate(request: HttpRequest, row: AlertSource, note: str) -> HttpResponse:
    source, token = services.rotate_token(source_id=row.pk, actor=require(request, "alert_sources:update"))
    return _show_token(request, source, token)


def _try(request: HttpRequest, row: AlertSource, note: str) -> str:
    found = services.try_source(source_id=row.pk, actor=require(request, "alert_sources:update"))
    if not found["opened"]:
        return "The test alert could not be opened; the reason stands in the log of Watchkeeper."
    people = "people were told as the rules say" if found["told"] else f"nobody was told: {found['reason']}"
    return f"A test alert, {found['level']}, was opened and resolved; {people.rstrip('.')}."


@admin.register(AlertSource)
class AlertSourceAdmin(ConsoleAdmin):
    """Other systems that post their alerts."""

    codes: ClassVar = {
        "view": "alert_sources:view",
        "add": "alert_sources:create",
        "change": "alert_sources:update",
        "delete": "alert_sources:delete",
    }
    list_title = "Alert sources"
    intro = (
        "Other systems that post their alerts here. They become alerts like all others: silences, rules, escalation "
        "and dependencies hold for them too."
    )
    add_label = "Add source"
    empty: ClassVar = (
        "input",
        "No source yet",
        "Add one for Alertmanager, Grafana, Uptime Kuma, Healthchecks or whatever can post JSON. It gets an address of "
        "its own, and you get the text to paste over there.",
    )
    form_class = AlertSourceForm
    list_display = ("source", "standing", "received", "figures", "level")
    list_filter = ("kind", "enabled")
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    detail_template = "console/alert_source.html"
    live_events = "alert.*"
    transitions = (
        Transition("test", "Send a test alert", "science", "alert_sources:update", _try,
                   ask="Open a test alert of this source and resolve it? People are told as of any other alert."),
        Transition("rotate", "New token", "autorenew", "alert_sources:update", _rotate,
                   ask="The address in use answers 404 at once. Make another?", tone="danger"),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the sources with what arrived."""
        return super().get_queryset(request).select_related("state")

    def row_tone(self, row: AlertSource) -> str:
        """Mark what was not taken, and calm down what is switched off."""
        if not row.enabled:
            return "muted"
        return "warn" if row.state.last_error else ""

    @column("Source", order="name", css="wide")
    def source(self, row: AlertSource) -> SafeString:
        """Show the name and the system."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.get_kind_display())

    @column("State", css="tight")
    def standing(self, row: AlertSource) -> SafeString:
        """Show whether its posts are taken."""
        return state_badge(row)

    @column("Last post", css="tight")
    def received(self, row: AlertSource) -> Any:
        """Show when something arrived last."""
        return ago(row.state.last_received_at)

    @column("Alerts", css="quiet")
    def figures(self, row: AlertSource) -> str:
        """Show how many it opened."""
        return f"{row.state.opened} opened, {row.state.resolved} resolved in {row.state.posts} posts"

    @column("Level", css="tight")
    def level(self, row: AlertSource) -> SafeString:
        """Show the level where it names none."""
        return badge(row.default_level)

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Keep the system of a source that is there."""
        return AlertSourceForm if row is None else ChangeAlertSourceForm

    def initial(self, request: HttpRequest, row: AlertSource | None) -> dict[str, Any]:
        """Return the form's values."""
        if row is None:
            return dict(request.GET.items())
        names = ("name", "kind", "enabled", "default_level", "resolve_after_s", "tags", "tag_labels")
        return {name: getattr(row, name) for name in names} | {
            f"map_{name}": value for name, value in row.mapping.items()
        }

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add a source and show its address, this once."""
        row, token = services.create_source(
            actor=require(request, "alert_sources:create"), values=values_of(data, is_new=True)
        )
        return _show_token(request, row, token)

    def update(self, request: HttpRequest, row: AlertSource, data: dict[str, Any]) -> AlertSource:
        """Change a source."""
        return services.update_source(
            source_id=row.pk, actor=require(request, "alert_sources:update"), values=values_of(data, is_new=False)
        )

    def remove(self, request: HttpRequest, row: AlertSource) -> None:
        """Remove a source."""
        services.delete_source(source_id=row.pk, actor=require(request, "alert_sources:delete"))

    def delete_warning(self, row: AlertSource) -> str:
        """Say what goes with it."""
        return "Its address answers 404 at once, and its alerts that are open are resolved. This can't be undone."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the path from an alert's thing to its source."""
        return [("of/<str:subject_id>/", "of", self.of_view)]

    def of_view(self, request: HttpRequest, subject_id: str) -> HttpResponse:
        """Lead from the thing of an alert to the source that knows it."""
        require(request, self.codes["view"])
        row = ReceivedAlert.objects.filter(subject_id=subject_id).select_related("source").first()
        if row is None:
            raise Http404("Nothing is known of this thing any more.")
        return HttpResponseRedirect(self.page_of(row.source))

    def facts(self, request: HttpRequest, row: AlertSource) -> list[tuple[str, Any]]:
        """Return the source."""
        after = row.resolve_after_s
        return [
            ("System", row.get_kind_display()),
            ("Level where it names none", badge(row.default_level)),
            ("Over without news", f"after {spoken(after)}" if after else "no: when it says so, or names an end"),
            ("Tags", ", ".join([*row.tags, *(f"{label}:…" for label in row.tag_labels)]) or None),
            *(
                [("JSON paths", "; ".join(f"{name}: {_shown(path)}" for name, path in row.mapping.items()))]
                if row.mapping
                else []
            ),
            ("Token", f"ends in {row.token_hint}"),
        ]

    def detail_context(self, request: HttpRequest, row: AlertSource) -> dict[str, Any]:
        """Return how to set it up, what became of the latest post, and its alerts."""
        url = f"{settings.PUBLIC_URL}/alerts/in/{UNKNOWN_TOKEN}"
        kind = kinds[row.kind]
        ids = row.received.filter(alert_id__isnull=False).order_by("-last_seen_at").values("alert_id")[:SHOWN_ALERTS]
        visible = Alert.objects.visible_to(require(request, "alert_sources:view"))
        alerts = visible.filter(id__in=list(ids.values_list("alert_id", flat=True)))
        return {
            "state": state_of(row),
            "url": url,
            "steps": kind.steps(),
            "snippet": kind.snippet(url, UNKNOWN_TOKEN),
            "outcome": row.state.last_outcome,
            "alerts": list(alerts),
        }


def _shown(path: Any) -> str:
    return ", ".join(path) if isinstance(path, list) else str(path)


def state_of(row: AlertSource) -> str:
    """Return how a source stands, in a word that badges know."""
    if not row.enabled:
        return "disabled"
    if row.state.last_error:
        return "failing"
    return "ok" if row.state.posts else "pending"


def state_badge(row: AlertSource) -> SafeString:
    """Return how a source stands."""
    return badge(state_of(row))


navigate(
    RESPOND, 50, "Alert sources", icon="input", url="admin:alerts_alertsource_changelist", code="alert_sources:view"
)
