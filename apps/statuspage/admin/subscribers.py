"""Subscribers."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import PUBLISH, navigate
from apps.core.templatetags.console import ago, badge, exact
from apps.statuspage import services
from apps.statuspage.models import Subscriber


@admin.register(Subscriber)
class SubscriberAdmin(ConsoleAdmin):
    """Who gets mails."""

    codes: ClassVar = {"view": "status:subscribers", "delete": "status:subscribers"}
    icon = "group"
    list_title = "Subscribers"
    intro = "Who asked for mails of a status page. Addresses are masked; nobody is added but by his own yes."
    empty: ClassVar = (
        "mark_email_unread",
        "No subscriber yet",
        "Visitors subscribe at the bottom of a status page. Mail must be configured (SMTP_URL).",
    )
    list_display = ("address", "state_shown", "where", "since")
    list_filter = ("page", "state")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the subscribers with their pages."""
        return super().get_queryset(request).select_related("page").prefetch_related("components")

    @column("Address")
    def address(self, row: Subscriber) -> str:
        """Show the masked address."""
        return row.masked

    @column("State", css="tight")
    def state_shown(self, row: Subscriber) -> SafeString:
        """Show whether the owner said yes."""
        return badge("confirmed" if row.state == "confirmed" else "asked")

    @column("News of")
    def where(self, row: Subscriber) -> str:
        """Show page and components."""
        names = ", ".join(component.name for component in row.components.all())
        return f"{row.page.name}: {names}" if names else row.page.name

    @column("Since", css="tight")
    def since(self, row: Subscriber) -> Any:
        """Show since when."""
        return ago(row.confirmed_at or row.asked_at)

    def remove(self, request: HttpRequest, row: Subscriber) -> None:
        """Remove a subscriber."""
        services.remove_subscriber(subscriber_id=row.pk, actor=require(request, "status:subscribers"))

    def delete_warning(self, row: Subscriber) -> str:
        """Return what removing the row means."""
        return "Nothing more is sent to this address. Its owner may subscribe again."

    def facts(self, request: HttpRequest, row: Subscriber) -> list[tuple[str, Any]]:
        """Return what is known."""
        return [
            ("Address", row.masked),
            ("State", self.state_shown(row)),
            ("News of", self.where(row)),
            ("Asked", exact(row.asked_at)),
            ("Confirmed", exact(row.confirmed_at)),
        ]


navigate(
    PUBLISH, 40, "Subscribers", icon="group", url="admin:statuspage_subscriber_changelist", code="status:subscribers"
)
