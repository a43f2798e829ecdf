"""Dependencies in the console: their list, and what stands of them on the pages of things."""

from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.registries import subjects
from apps.core.templatetags.console import ago
from apps.monitors.models import Dependency
from apps.monitors.selectors.names import find_thing, names_of
from apps.monitors.services import dependencies as services

SHOWN = 30


def _kinds() -> list[tuple[str, str]]:
    return [(kind, kind.capitalize()) for kind in services.kinds()]


class DependencyForm(ConsoleForm):
    """Which thing can't be well without which other."""

    child_kind = forms.ChoiceField(choices=_kinds, label="A thing of this kind")
    child_id = forms.CharField(max_length=255, label="called", help_text="Its name or id.")
    parent_kind = forms.ChoiceField(choices=_kinds, label="depends on one of this kind")
    parent_id = forms.CharField(max_length=255, label="called", help_text="Its name or id; a server's slug does too.")
    note = forms.CharField(max_length=255, required=False, help_text="For example: the only router of that office.")
    groups = (
        ("What depends", "", ("child_kind", "child_id")),
        ("On what", "while this is down, nobody is told of the thing above", ("parent_kind", "parent_id")),
        ("Note", "", ("note",)),
    )


def thing_link(kind: str, id: str, name: str) -> SafeString:
    """Return a thing's name as a link to its page."""
    known = subjects.get(kind)
    if known is None:
        return format_html("{}", name)
    return format_html('<a class="wk-link" href="{}">{}</a>', known.url(id), name)


@admin.register(Dependency)
class DependencyAdmin(ConsoleAdmin):
    """What people said depends on what."""

    codes: ClassVar = {
        "view": "dependencies:view",
        "add": "dependencies:create",
        "delete": "dependencies:delete",
    }
    list_title = "Dependencies"
    intro = (
        "While a parent is down, its children are recorded and nobody is told of them: one cause, one message. "
        "What runs on a server is found by host name and address without being listed here."
    )
    add_label = "Add dependency"
    empty: ClassVar = (
        "account_tree",
        "No dependency said by hand",
        "Endpoints, certificates and heartbeats follow their server by themselves. Add what can't be seen from "
        "addresses: routers, proxies, databases.",
    )
    form_class = DependencyForm
    list_display = ("child", "parent", "note_shown", "said")
    list_filter = ("child_kind", "parent_kind")
    ordering = ("-id",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Offer no change: it stands or it is removed."""
        return False

    def title_of(self, row: Dependency) -> str:
        """Return both ends."""
        names = names_of([(row.child_kind, row.child_id), (row.parent_kind, row.parent_id)])
        return f"{names[row.child_kind, row.child_id]} depends on {names[row.parent_kind, row.parent_id]}"

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Find the names of both ends, one query a kind."""
        things = [(row.child_kind, row.child_id) for row in rows] + [(row.parent_kind, row.parent_id) for row in rows]
        names = names_of(things)
        for row in rows:
            row.child_name = names[row.child_kind, row.child_id]
            row.parent_name = names[row.parent_kind, row.parent_id]

    @column("This")
    def child(self, row: Any) -> SafeString:
        """Show what depends."""
        return format_html("{}<span class='sub'>{}</span>", row.child_name, row.child_kind)

    @column("Depends on")
    def parent(self, row: Any) -> SafeString:
        """Show on what."""
        return format_html("{}<span class='sub'>{}</span>", row.parent_name, row.parent_kind)

    @column("Note", css="wide quiet")
    def note_shown(self, row: Dependency) -> str:
        """Show the note."""
        return row.note

    @column("Said", css="tight quiet")
    def said(self, row: Dependency) -> Any:
        """Show when."""
        return ago(row.created_at)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add a dependency and go back to the thing."""
        found = {end: find_thing(data[f"{end}_kind"], data[f"{end}_id"].strip()) for end in ("child", "parent")}
        row = services.create_dependency(
            actor=require(request, "dependencies:create"),
            child_kind=data["child_kind"],
            child_id=found["child"] or data["child_id"],
            parent_kind=data["parent_kind"],
            parent_id=found["parent"] or data["parent_id"],
            note=data["note"],
        )
        known = subjects.get(row.child_kind)
        return HttpResponseRedirect(known.url(row.child_id)) if known else row

    def remove(self, request: HttpRequest, row: Dependency) -> None:
        """Take it back."""
        services.delete_dependency(dependency_id=row.pk, actor=require(request, "dependencies:delete"))

    def delete_warning(self, row: Dependency) -> str:
        """Say what removing means."""
        return "People are then told of the child whether the parent is down or not."

    def facts(self, request: HttpRequest, row: Dependency) -> list[tuple[str, Any]]:
        """Return both ends."""
        names = names_of([(row.child_kind, row.child_id), (row.parent_kind, row.parent_id)])
        return [
            ("This", thing_link(row.child_kind, row.child_id, names[row.child_kind, row.child_id])),
            ("Depends on", thing_link(row.parent_kind, row.parent_id, names[row.parent_kind, row.parent_id])),
            ("Note", row.note or "none"),
            ("Said by", row.created_by),
        ]


def _panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    parents = services.parents_of(kind, row.pk)
    children = services.children_of(kind, row.pk)
    can_add = may(request, "dependencies:create")
    if not parents and not children and not can_add:
        return None
    names = names_of((one.kind, one.id) for one in (*parents, *children[:SHOWN]))

    def shown(links: list[services.Link]) -> list[dict[str, Any]]:
        return [
            {
                "link": thing_link(one.kind, one.id, names[one.kind, one.id]),
                "kind": one.kind,
                "note": one.note,
                "url": reverse("admin:monitors_dependency_detail", args=[one.dependency_id]) if one.is_manual else "",
            }
            for one in links[:SHOWN]
        ]

    query = urlencode({"child_kind": kind, "child_id": str(row.pk)})
    return {
        "parents": shown(parents),
        "children": shown(children),
        "more": max(0, len(children) - SHOWN),
        "add_url": f"{reverse('admin:monitors_dependency_add')}?{query}" if can_add else "",
    }


subject_panels.register(
    "dependencies",
    SubjectPanel(
        ("server", "endpoint", "heartbeat", "certificate"),
        "console/panels/dependencies.html",
        _panel,
        "dependencies:view",
    ),
)
navigate(
    WATCH,
    60,
    "Dependencies",
    icon="account_tree",
    url="admin:monitors_dependency_changelist",
    code="dependencies:view",
)
