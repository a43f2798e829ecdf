"""Components."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, choices
from apps.core.admin.navigation import PUBLISH, navigate
from apps.core.principals import Principal
from apps.core.registries import subjects
from apps.core.templatetags.console import ago, badge, exact
from apps.fleet.models import Server
from apps.monitors.models import CertificateMonitor, Endpoint, Heartbeat
from apps.statuspage import services
from apps.statuspage.admin.common import MomentField, first_page, pages
from apps.statuspage.models import Component, Group
from apps.statuspage.states import ComponentStatus, Source

#: More things than this of one kind are not listed; the API takes any.
LISTED = 1000


def things_for(principal: Principal) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what a component may stand for, by kind."""
    kinds: list[tuple[str, Any, Any]] = [
        ("endpoints:view", Source.ENDPOINT, Endpoint.objects.order_by("name")),
        ("heartbeats:view", Source.HEARTBEAT, Heartbeat.objects.order_by("name")),
        ("endpoints:view", Source.CERTIFICATE, CertificateMonitor.objects.order_by("hostname")),
        ("servers:view", Source.SERVER, Server.objects.order_by("name")),
    ]
    found = []
    for code, source, rows in kinds:
        if principal.can(code):
            listed = [(f"{source.value}:{row.pk}", str(row)) for row in rows.visible_to(principal)[:LISTED]]
            if listed:
                found.append((f"{source.label}s", listed))
    return found


class ComponentForm(ConsoleForm):
    """A component."""

    name = forms.CharField(max_length=100, help_text="As the public reads it. The thing's own name is never shown.")
    description = forms.CharField(required=False, max_length=300, help_text="One public sentence below the name.")
    page = forms.ModelChoiceField(pages(), empty_label=None)
    group: Any = forms.ModelChoiceField(Group.objects.none(), required=False, empty_label="No group")
    position = forms.IntegerField(initial=0, required=False, label="Place", help_text="Small first.")
    thing = forms.ChoiceField(label="Stands for", help_text="Its status follows this by itself.")
    visible = forms.BooleanField(required=False, initial=True, label="Shown to the public")
    show_history = forms.BooleanField(required=False, initial=True, label="Show the bars of the last 90 days")
    drafts_notices = forms.BooleanField(
        required=False, label="Draft a notice when an alert lasts",
        help_text="After two minutes of an alert a draft waits for you. Nothing is published by itself.",
    )  # fmt: skip
    override_status = forms.ChoiceField(
        choices=choices(ComponentStatus.choices, empty="As it is seen"), required=False, label="Status by hand"
    )
    override_until = MomentField(required=False, label="Until", help_text="Where empty: until you take it back.")
    override_note = forms.CharField(required=False, max_length=300, label="Why", help_text="For your colleagues only.")
    groups = (
        ("Public", "what visitors read", ("name", "description", "visible", "show_history")),
        ("Place", "", ("page", "group", "position")),
        ("Behind it", "never shown", ("thing", "drafts_notices")),
        ("…By hand", "where you know better", ("override_status", "override_until", "override_note")),
    )
    service_names: ClassVar = {"source": "thing", "source_id": "thing", "group_id": "group"}
    in_readers_zone = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["page"].queryset = pages()  # type: ignore[attr-defined]
        self.fields["page"].required = pages().exists()
        group: Any = self.fields["group"]
        group.queryset = Group.objects.select_related("page")
        group.label_from_instance = lambda row: f"{row.name} ({row.page.name})"
        given = self.initial.get("thing")
        thing: Any = self.fields["thing"]
        thing.choices = [("", "Choose"), *self.things]
        if given and not any(given == key for _, listed in self.things for key, _ in listed):
            thing.choices = [*thing.choices, (given, "what it stands for now")]

    things: ClassVar[list[Any]] = []


@admin.register(Component)
class ComponentAdmin(ConsoleAdmin):
    """What stands on the pages."""

    codes: ClassVar = {
        "view": "status:view",
        "add": "status:create",
        "change": "status:update",
        "delete": "status:delete",
    }
    icon = "widgets"
    subject_kind = "status_component"
    list_title = "Components"
    intro = "What the public knows by a name of its own. Each follows a monitor or a server."
    add_label = "Add component"
    empty: ClassVar = (
        "widgets",
        "No component yet",
        "Add what your users know, such as Web shop or Payments, and say which monitor stands behind it.",
    )
    form_class = ComponentForm
    list_display = ("what", "status_shown", "where", "behind", "since")
    list_filter = ("page", "group", "state__status", "visible")
    search_fields = ("name", "description")
    search_help_text = "Public name"
    ordering = ("position", "name", "id")
    live_events = "status.*"
    transitions = (
        Transition(
            "follow",
            "Follow the monitor again",
            "autorenew",
            "status:update",
            lambda request, row, note: _follow(request, row),
            offered=lambda row: bool(row.override_status),
            ask="Take the status set by hand back?",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the components with page, group and state."""
        return super().get_queryset(request).select_related("page", "group", "state")

    def row_tone(self, row: Component) -> str:
        """Mark what is out, calm down what is hidden."""
        status = row.state.status if hasattr(row, "state") else ""
        if not row.visible:
            return "muted"
        return {"major_outage": "crit", "partial_outage": "warn", "degraded": "warn"}.get(status, "")

    @column("Component", order="name")
    def what(self, row: Component) -> SafeString:
        """Show the public name."""
        sub = row.description if row.visible else "hidden from the public"
        return format_html("{}<span class='sub'>{}</span>", row.name, sub)

    @column("Status", css="tight")
    def status_shown(self, row: Component) -> SafeString:
        """Show the status, and who set it."""
        shown = badge(row.state.status if hasattr(row, "state") else "no_data")
        return format_html("{}<span class='sub'>by {}</span>", shown, row.override_by) if row.override_status else shown

    @column("Page")
    def where(self, row: Component) -> str:
        """Show page and group."""
        return f"{row.page.name}, {row.group.name}" if row.group else row.page.name

    @column("Stands for", css="quiet")
    def behind(self, row: Component) -> str:
        """Show the kind of thing behind it."""
        return row.get_source_display()

    @column("Since", css="tight quiet")
    def since(self, row: Component) -> Any:
        """Show since when."""
        return ago(row.state.since) if hasattr(row, "state") else ""

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form with the things that the person may see."""
        principal = require(request, self.codes["view"])
        return type("ComponentForm", (ComponentForm,), {"things": things_for(principal)})

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows."""
        if row is None:
            return {"page": first_page(), **super().initial(request, row)}
        return {**super().initial(request, row), "thing": f"{row.source}:{row.source_id}"}

    @staticmethod
    def _values(data: dict[str, Any]) -> dict[str, Any]:
        values = dict(data)
        values["source"], _, values["source_id"] = values.pop("thing").partition(":")
        values["position"] = values["position"] or 0
        if not values["override_status"]:
            values["override_until"], values["override_note"] = None, ""
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Component:
        """Add a component."""
        return services.create_component(values=self._values(data), actor=require(request, "status:create"))

    def update(self, request: HttpRequest, row: Component, data: dict[str, Any]) -> Component:
        """Change a component."""
        return services.update_component(
            component_id=row.pk, values=self._values(data), actor=require(request, "status:update")
        )

    def remove(self, request: HttpRequest, row: Component) -> None:
        """Remove a component."""
        services.delete_component(component_id=row.pk, actor=require(request, "status:delete"))

    def delete_warning(self, row: Component) -> str:
        """Return what removing the row means."""
        return "Its history goes with it. The monitor behind it stays."

    def facts(self, request: HttpRequest, row: Component) -> list[tuple[str, Any]]:
        """Return how it stands and what is behind it."""
        state = getattr(row, "state", None)
        page = format_html(
            '<a class="wk-link" href="{}">{}</a>', reverse("admin:statuspage_page_detail", args=[row.page_id]), row.page
        )
        found: list[tuple[str, Any]] = [
            ("Shown as", badge(state.status if state else "no_data")),
            ("Seen", badge(state.derived if state else "no_data")),
            ("Since", exact(state.since) if state else ""),
            ("Page", page),
            ("Group", row.group.name if row.group else "none"),
            ("Stands for", _thing(request, row)),
            ("Public", "yes" if row.visible else "hidden"),
            ("Drafts notices", "when an alert lasts two minutes" if row.drafts_notices else "no"),
        ]
        if row.override_status:
            until = exact(row.override_until) if row.override_until else "it is taken back"
            found.insert(
                1, ("Set by hand", format_html("by {}, until {}. {}", row.override_by, until, row.override_note))
            )
        changes = list(row.changes.order_by("-id")[:12])
        lines = [(badge(change.status), exact(change.at)) for change in changes]
        drawn = format_html_join(mark_safe("<br>"), "{} {}", lines)
        return [*found, ("Last changes", drawn)]


def _thing(request: HttpRequest, row: Component) -> Any:
    kind = subjects.get(row.source)
    name = kind.find(row.source_id) if kind else None
    if kind is None or name is None:
        return "something that is gone"
    code = "endpoints:view" if row.source == Source.CERTIFICATE else f"{row.source}s:view"
    if not may(request, code):
        return row.get_source_display()
    return format_html('<a class="wk-link" href="{}">{}</a>', kind.url(row.source_id), name)


def _follow(request: HttpRequest, row: Component) -> str:
    services.update_component(
        component_id=row.pk, values={"override_status": ""}, actor=require(request, "status:update")
    )
    return f"{row.name} follows what is seen again."


navigate(PUBLISH, 20, "Components", icon="widgets", url="admin:statuspage_component_changelist", code="status:view")
