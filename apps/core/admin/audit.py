"""The audit trail and the facts that readers set aside."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core import registries
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.words import exact, happening, spaced
from apps.core.events import catalogue
from apps.core.models import Event, SetAsideFact
from apps.core.templatetags.console import badge

LEVELS = (("info", "Info"), ("warning", "Warning"), ("critical", "Critical"))


class LevelFilter(admin.SimpleListFilter):
    """Events of a level."""

    title, parameter_name = "level", "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the levels."""
        return LEVELS

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the level chosen."""
        return queryset.filter(level=self.value()) if self.value() else queryset


class ThingFilter(admin.SimpleListFilter):
    """Events about a kind of thing, by the first word of their name."""

    title, parameter_name = "about", "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the first words of the catalogue's names."""
        words = sorted({name.partition(".")[0] for name in catalogue})
        return [(word, word.replace("_", " ").capitalize()) for word in words]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the kind chosen."""
        if not self.value():
            return queryset
        return queryset.filter(Q(name__startswith=f"{self.value()}.") | Q(name=self.value()))


class ActorFilter(admin.SimpleListFilter):
    """Events by who caused them."""

    title, parameter_name = "by", "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the kinds of actors."""
        return [("user", "People"), ("api_key", "API keys"), ("system", "Watchkeeper itself")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the kind chosen."""
        return queryset.filter(actor__kind=self.value()) if self.value() else queryset


@admin.register(Event)
class AuditAdmin(ConsoleAdmin):
    """Who did what to which thing, when, from where. Nobody changes it."""

    codes: ClassVar = {"view": "audit:view"}
    list_title = "Audit trail"
    intro = "Who did what, to which thing, when and from where. Rows are never changed."
    empty: ClassVar = (
        "history",
        "Nothing has happened yet",
        "Each change by a person or by Watchkeeper itself will stand here.",
    )
    list_display = ("happening", "thing", "who", "address", "when")
    list_filter = (ActorFilter, LevelFilter, ThingFilter)
    search_fields = ("name",)
    search_help_text = "Person, event or thing"
    ordering = ("-id",)
    detail_template = "console/event.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the trail without the notices that follow from other events, unless they are asked for."""
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and request.resolver_match.url_name == "core_event_changelist"
        wants_them = request.GET.get("about") == "notification" or request.GET.get("q")
        return rows.exclude(name="notification") if is_list and not wants_them else rows

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look for a person, an event's name or its beginning, or a thing."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = (
            Q(actor_name=term)
            | Q(name__startswith=term.rstrip("*"))
            | Q(subject_id=term)
            | Q(subject_name__icontains=term)
        )
        return queryset.filter(wanted), False

    def title_of(self, row: Event) -> str:
        """Return what happened."""
        return happening(row.name)

    def row_tone(self, row: Event) -> str:
        """Mark what is critical."""
        return {"critical": "crit", "warning": "warn"}.get(row.level, "")

    @column("Event")
    def happening(self, row: Event) -> SafeString:
        """Show what happened, the event's name and, where it is more than information, the level."""
        level = badge(row.level) if row.level != "info" else ""
        return format_html("{} {}<span class='sub wk-mono'>{}</span>", happening(row.name), level, row.name)

    @column("Thing")
    def thing(self, row: Event) -> SafeString:
        """Show what it is about."""
        kind = spaced(row.subject_kind)
        return format_html("{}<span class='sub'>{}</span>", row.subject_name or row.subject_id, kind)

    @column("By")
    def who(self, row: Event) -> SafeString:
        """Show who did it."""
        via = row.actor.get("via")
        return format_html("{}{}", row.actor_name, format_html("<span class='sub'>for {}</span>", via) if via else "")

    @column("From", css="tight quiet")
    def address(self, row: Event) -> SafeString:
        """Show the address it came from."""
        return format_html("<span class='wk-mono'>{}</span>", row.audit.get("address") or "–")

    @column("When", order="id", css="tight")
    def when(self, row: Event) -> Any:
        """Show when."""
        return row.at

    def facts(self, request: HttpRequest, row: Event) -> list[tuple[str, Any]]:
        """Return everything the row says but the difference."""
        audit = row.audit
        found = [
            ("Event", row.name),
            ("When", exact(row.at)),
            ("By", f"{row.actor_name} ({row.actor.get('kind', '')})"),
            ("Thing", f"{spaced(row.subject_kind)}: {row.subject_name or row.subject_id}"),
            ("Id of the thing", row.subject_id),
            ("Note", audit.get("note")),
            ("Address", audit.get("address")),
            ("Program", audit.get("user_agent")),
            ("Request", audit.get("request_id")),
            ("Number", row.seq),
        ]
        return [(label, value) for label, value in found if value not in (None, "")]

    def detail_context(self, request: HttpRequest, row: Event) -> dict[str, Any]:
        """Return the event's meaning and a link to its thing."""
        declared = catalogue.get(row.name)
        kind = registries.subjects.get(row.subject_kind)
        try:
            there = kind is not None and kind.find(row.subject_id) is not None
        except (ValueError, ValidationError):  # an id of a form that this kind no longer has
            there = False
        return {
            "state": row.level,
            "subtitle": declared.doc if declared else "",
            "thing_url": kind.url(row.subject_id) if kind is not None and there else "",
        }


@admin.register(SetAsideFact)
class SetAsideAdmin(ConsoleAdmin):
    """Facts on which a part of Watchkeeper failed three times."""

    codes: ClassVar = {"view": "audit:view"}
    list_title = "Facts set aside"
    intro = "Facts on which a part of Watchkeeper failed three times; it went on without them."
    empty: ClassVar = ("task_alt", "None", "Every part has dealt with every fact.")
    list_display = ("event_name", "reader", "seq", "at")
    ordering = ("-at",)

    def facts(self, request: HttpRequest, row: SetAsideFact) -> list[tuple[str, Any]]:
        """Return the row."""
        return [
            ("Fact", f"{happening(row.event_name)} ({row.event_name}, no. {row.seq})"),
            ("Part", row.reader),
            ("When", exact(row.at)),
            ("Error", row.error),
        ]


navigate(ADMINISTER, 60, "Audit", icon="history", url="admin:core_event_changelist", code="audit:view")
