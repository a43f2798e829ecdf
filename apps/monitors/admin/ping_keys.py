"""Ping keys and badges in the console."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge
from apps.monitors.admin.heartbeat_form import BadgeForm, PingKeyForm
from apps.monitors.models import Badge, Endpoint, Heartbeat, PingKey
from apps.monitors.selectors import badges as selectors
from apps.monitors.selectors.heartbeats import ping_keys_with_counts
from apps.monitors.services import badges as badge_services
from apps.monitors.services import ping_keys as services

#: Heartbeats that the page of a key names.
NAMED_MOST = 200


def _renew(request: HttpRequest, row: PingKey, note: str) -> str:
    services.renew_ping_key(ping_key_id=row.pk, actor=require(request, "ping_keys:update"))
    return f"{row.name} has another secret: paste the new address into its jobs."


@admin.register(PingKey)
class PingKeyAdmin(ConsoleAdmin):
    """One credential for many jobs."""

    codes: ClassVar = {
        "view": "ping_keys:view",
        "add": "ping_keys:create",
        "change": "ping_keys:update",
        "delete": "ping_keys:delete",
    }
    list_title = "Ping keys"
    intro = (
        "One credential for many jobs, which name themselves in the address. "
        "A key can add heartbeats by their first ping."
    )
    add_label = "Add ping key"
    empty: ClassVar = (
        "key",
        "No ping key yet",
        "Add one where many machines get the same script: each job calls the key's address with its own name.",
    )
    form_class = PingKeyForm
    list_display = ("key_name", "state", "belonging", "given")
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    detail_template = "console/ping_key.html"
    transitions = (
        Transition(
            "renew",
            "New secret",
            "autorenew",
            "ping_keys:update",
            _renew,
            ask="Addresses with the old secret answer 404 at once. Give it another one?",
            tone="danger",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the keys with the number of their heartbeats."""
        return ping_keys_with_counts(super().get_queryset(request))

    def row_tone(self, row: PingKey) -> str:
        """Mark what is switched off."""
        return "" if row.enabled else "muted"

    @column("Ping key", order="name")
    def key_name(self, row: PingKey) -> str:
        """Show the name."""
        return row.name

    @column("State", css="tight")
    def state(self, row: PingKey) -> SafeString:
        """Show whether its addresses work."""
        return badge("enabled" if row.enabled else "disabled")

    @column("Heartbeats", css="figure")
    def belonging(self, row: PingKey) -> str:
        """Show how many belong to it."""
        count = row.heartbeat_count  # type: ignore[attr-defined]
        return f"{count} of {row.create_limit}" if row.create_limit else f"{count}, adds none"

    @column("New ones are expected", css="wide")
    def given(self, row: PingKey) -> str:
        """Show the schedule of those it adds."""
        return expected_words(row)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> PingKey:
        """Add a key."""
        values = {name: value for name, value in data.items() if name != "timezone"}
        return services.create_ping_key(
            actor=require(request, "ping_keys:create"), timezone_name=data["timezone"], **values
        )

    def update(self, request: HttpRequest, row: PingKey, data: dict[str, Any]) -> PingKey:
        """Change a key."""
        return services.update_ping_key(
            ping_key_id=row.pk, actor=require(request, "ping_keys:update"), changes=data
        )  # fmt: skip

    def remove(self, request: HttpRequest, row: PingKey) -> None:
        """Remove a key."""
        services.delete_ping_key(ping_key_id=row.pk, actor=require(request, "ping_keys:delete"))

    def delete_warning(self, row: PingKey) -> str:
        """Say what goes with it."""
        return "Addresses with this key answer 404 at once. Its heartbeats stay and keep their own addresses."

    def detail_context(self, request: HttpRequest, row: PingKey) -> dict[str, Any]:
        """Return the address, how to use it, and whose it is."""
        address = f"{settings.PUBLIC_URL}/ping/k/{row.key}"
        return {
            "address": f"{address}/<name of the job>",
            "example": f'curl -fsS -m 10 --retry 5 -o /dev/null "{address}/$(hostname)-backup?create=1"',
            "schedule": expected_words(row),
            "heartbeats": Heartbeat.objects.filter(ping_key=row).select_related("state")[:NAMED_MOST],
        }


def expected_words(row: PingKey) -> str:
    """Return when a heartbeat is expected that the key adds."""
    if row.cron:
        return f"{row.cron} ({row.timezone})"
    return f"every {spoken(row.interval_seconds or services.DEFAULT_INTERVAL_S)}"


@admin.register(Badge)
class BadgeAdmin(ConsoleAdmin):
    """Public pictures of how something stands."""

    codes: ClassVar = {"view": "badges:view", "add": "badges:create", "delete": "badges:delete"}
    list_title = "Badges"
    intro = "Small public pictures of a status, at addresses nobody can guess. They name nothing but their own label."
    add_label = "Make badge"
    empty: ClassVar = (
        "shield",
        "No badge yet",
        "Make one to show a status in a README or a wiki. Revoke it and its address answers 404.",
    )
    form_class = BadgeForm
    list_display = ("what", "of", "made")
    search_fields = ("label",)
    search_help_text = "Label"
    detail_template = "console/badge.html"

    def title_of(self, row: Badge) -> str:
        """Return its words."""
        return f"Badge {row.label or row.get_shows_words()}"

    @column("Badge")
    def what(self, row: Badge) -> str:
        """Show its label and what it shows."""
        words = row.get_shows_words()
        return f"{row.label} ({words})" if row.label else words

    @column("Of", css="wide")
    def of(self, row: Badge) -> SafeString:
        """Show what it is about."""
        return format_html("<span class='wk-quiet'>{}</span> {}", row.kind, getattr(row, "thing", row.subject))

    @column("Made", css="tight")
    def made(self, row: Badge) -> Any:
        """Show when it was made."""
        return ago(row.created_at)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Name what the page's badges are about, in two queries."""
        names: dict[str, str] = {}
        for kind, model in ((Badge.ENDPOINT, Endpoint), (Badge.HEARTBEAT, Heartbeat)):
            wanted = [row.subject for row in rows if row.kind == kind]
            if wanted:
                found: Any = model._default_manager.filter(pk__in=wanted).values_list("pk", "name")
                names.update({str(pk): name for pk, name in found})
        for row in rows:
            row.thing = row.subject if row.kind == Badge.TAG else names.get(row.subject, "gone")

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Badge:
        """Make a badge; the thing may be given by its name."""
        kind, subject = data["kind"], data["subject"].strip()
        if kind != Badge.TAG:
            model: Any = Endpoint if kind == Badge.ENDPOINT else Heartbeat
            named = list(model.objects.filter(name=subject).values_list("pk", flat=True)[:2])
            subject = str(named[0]) if len(named) == 1 else subject
        return badge_services.create_badge(
            actor=require(request, "badges:create"), **{**data, "subject": subject}
        )  # fmt: skip

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A badge is not changed: revoke it and make another."""
        return False

    def remove(self, request: HttpRequest, row: Badge) -> None:
        """Revoke a badge."""
        badge_services.delete_badge(badge_id=row.pk, actor=require(request, "badges:delete"))

    def delete_warning(self, row: Badge) -> str:
        """Say what it means."""
        return "Its address answers 404 from now on, on every page that shows it."

    def detail_context(self, request: HttpRequest, row: Badge) -> dict[str, Any]:
        """Return the picture's address and the texts to copy."""
        return {"thing": selectors.subject_name(row), "badge": shown_badge(row)}


_TEXTS = {"markdown": "Markdown", "html": "HTML", "url": "Picture", "json": "JSON", "shields": "shields.io"}


def shown_badge(row: Badge) -> dict[str, Any]:
    """Return a badge as pages show it, with the texts to copy."""
    texts = {
        **selectors.snippets_of(row),
        "url": selectors.address_of(row),
        "json": selectors.address_of(row, "json"),
    }
    return {
        "row": row,
        "path": f"/badge/{row.token}.svg",
        "words": row.label or row.get_shows_words(),
        "texts": [(name, _TEXTS[name], text) for name, text in texts.items()],
    }


def _badges_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    rows = selectors.badges_of(kind, str(row.pk))
    add = may(request, "badges:create")
    if not rows and not add:
        return None
    query = urlencode({"kind": kind, "subject": str(row.pk)})
    return {
        "badges": [{**shown_badge(one), "url": reverse("admin:monitors_badge_detail", args=[one.pk])} for one in rows],
        "add_url": f"{reverse('admin:monitors_badge_add')}?{query}" if add else "",
    }


subject_panels.register(
    "monitor-badges",
    SubjectPanel(("endpoint", "heartbeat"), "console/panels/badges.html", _badges_panel, "badges:view"),
)
navigate(WATCH, 31, "Ping keys", icon="key", url="admin:monitors_pingkey_changelist", code="ping_keys:view")
navigate(WATCH, 60, "Badges", icon="shield", url="admin:monitors_badge_changelist", code="badges:view")
