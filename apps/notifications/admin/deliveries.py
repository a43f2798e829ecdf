"""The ledger: what was sent, held and suppressed, to whom, and why."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import happening
from apps.core.templatetags.console import ago, badge
from apps.notifications import selectors, services
from apps.notifications.models import Channel, Delivery, Rule, Webhook


class StateFilter(admin.SimpleListFilter):
    """How far it has come."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, and what is held apart from what is being tried."""
        return [*((value, label) for value, label in Delivery.State.choices), ("held", "Held for later")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        if self.value() == "held":
            return queryset.filter(held=True, state=Delivery.State.PENDING)
        return queryset.filter(state=self.value()) if self.value() in Delivery.State.values else queryset


class DestinationFilter(admin.SimpleListFilter):
    """To whom."""

    title, parameter_name = "destination", "to"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return channels and webhooks by name."""
        names = selectors.names_of_destinations()
        return sorted(((str(number), name) for number, name in names.items()), key=lambda pair: pair[1].casefold())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        chosen = self.value()
        known = {str(number): number for number in selectors.names_of_destinations()} if chosen else {}
        return queryset.filter(destination_id=known[chosen]) if chosen in known else queryset


class AboutFilter(admin.SimpleListFilter):
    """Which event."""

    title, parameter_name = "event", "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the kinds of messages that people look for."""
        return [
            ("alert.opened", "Opened"), ("alert.escalated", "Got worse"), ("alert.resolved", "Resolved"),
            ("summary", "Summaries"), ("system.alert", "Of Watchkeeper itself"), ("test", "Tests"),
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        return queryset.filter(event_name=self.value()) if self.value() else queryset


def _again(request: HttpRequest, row: Delivery, note: str) -> str:
    services.redeliver(actor=require(request, "deliveries:redeliver"), delivery=row)
    return "Queued once more, with the same id."


@admin.register(Delivery)
class DeliveryAdmin(ConsoleAdmin):
    """Every message to every destination."""

    codes: ClassVar = {"view": "deliveries:view"}
    list_title = "Deliveries"
    intro = "What was sent, what is held for later and what was suppressed, with the reason. Newest first."
    empty: ClassVar = (
        "outgoing_mail",
        "Nothing has been sent",
        "Add a channel and send a test; what leaves, and what does not, is listed here.",
    )
    list_display = ("message", "to", "state_shown", "tries_shown", "when")
    list_filter = (StateFilter, DestinationFilter, AboutFilter)
    search_fields = ("subject_name", "message_id")
    ordering = ("-id",)
    live_events = "alert.* system.alert"
    live_every = 3000
    detail_template = "console/delivery.html"
    transitions = (
        Transition(
            "again", "Send again", "redo", "deliveries:redeliver", _again,
            offered=lambda row: row.state != Delivery.State.PENDING and row.kind != Delivery.Kind.MAIL,
            ask="Send this message again? Quiet hours, limits and rules do not count for it.",
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return what the person may see."""
        return selectors.ledger(require(request, "deliveries:view"))

    def title_of(self, row: Delivery) -> str:
        """Return the message's title; of what programs get, what happened to what."""
        about = row.subject_name or row.subject_id
        return str(row.payload.get("title") or ": ".join(filter(None, (happening(row.event_name), about))))

    def row_tone(self, row: Delivery) -> str:
        """Mark what failed, calm down what was not sent."""
        return {"failed": "warn", "suppressed": "muted"}.get(row.state, "")

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch the destinations' names."""
        names = selectors.names_of_destinations()
        for row in rows:
            row.destination_name = names.get(row.destination_id) or ("mail" if row.kind == "mail" else "removed")

    @column("Message")
    def message(self, row: Delivery) -> SafeString:
        """Show what it says and why it is where it is."""
        name = format_html("<span class='wk-mono'>{}</span>{}", row.event_name, " · " if row.reason else "")
        return format_html("{}<span class='sub'>{}{}</span>", self.title_of(row), name, row.reason)

    @column("To")
    def to(self, row: Delivery) -> str:
        """Show the destination."""
        return str(getattr(row, "destination_name", ""))

    @column("State", css="tight")
    def state_shown(self, row: Delivery) -> SafeString:
        """Show how far it has come."""
        return state_badge(row)

    @column("Attempts", css="tight figure")
    def tries_shown(self, row: Delivery) -> int:
        """Show how often it was tried."""
        return row.attempts

    @column("When", order="id", css="tight")
    def when(self, row: Delivery) -> Any:
        """Show when it was routed."""
        return ago(row.created_at)

    def detail_context(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        """Return the attempts, and what it stands with."""
        principal = require(request, "deliveries:view")
        names = selectors.names_of_destinations()
        rule = Rule.objects.filter(id=row.rule_id).first() if row.rule_id else None
        model: Any = {"channel": Channel, "webhook": Webhook}.get(row.kind)
        shown = model is not None and row.destination_id in names
        return {
            "state_badge": state_badge(row),
            "destination": names.get(row.destination_id, "removed"),
            "destination_url": reverse(f"admin:notifications_{row.kind}_detail", args=[row.destination_id])
            if shown and may(request, f"{row.kind}s:view")
            else "",
            "rule": rule if rule is not None and may(request, "rules:view") else None,
            "tries": list(row.tries.all()),
            "may_see_requests": selectors.may_see_requests(principal, row),
            "payload": selectors.payload_for(principal, row),
            "parts": list(row.parts.order_by("id")[:100]),
            "part_count": row.parts.count(),
            "stand_ins": list(row.stand_ins.order_by("id")),
        }


def state_badge(row: Delivery) -> SafeString:
    """Return the state of a delivery, of one that is held as such."""
    if row.held and row.state == Delivery.State.PENDING:
        return badge("pending", f"Held for {row.get_waits_for_display()}", "info")
    if row.state == Delivery.State.BUNDLED:
        return badge("delivered", "In a summary", "info")
    return badge(row.shown_state)


navigate(
    RESPOND, 45, "Deliveries", icon="outgoing_mail", url="admin:notifications_delivery_changelist",
    code="deliveries:view",
)  # fmt: skip
