"""Subscribers."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import PUBLISH, navigate
from apps.core.templatetags.console import ago, badge, exact
from apps.statuspage import services
from apps.statuspage.admin.common import first_page, pages
from apps.statuspage.models import Component, Subscriber


class WebhookForm(ConsoleForm):
    """A program to be told."""

    page = forms.ModelChoiceField(pages(), empty_label=None)
    url = forms.CharField(max_length=2000, label="URL", help_text="Gets a signed POST for every published change.")
    components: Any = forms.ModelMultipleChoiceField(
        Component.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="Only about",
        help_text="None chosen: of everything on the page.",
    )  # fmt: skip
    groups = (("Webhook", "", ("page", "url")), ("News", "", ("components",)))
    service_names: ClassVar = {"component_ids": "components"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["page"].queryset = pages()  # type: ignore[attr-defined]
        rows: Any = self.fields["components"]
        rows.queryset = Component.objects.select_related("page").order_by("page__name", "position", "name")
        rows.label_from_instance = lambda row: f"{row.name} ({row.page.name})"


@admin.register(Subscriber)
class SubscriberAdmin(ConsoleAdmin):
    """Who gets mails."""

    codes: ClassVar = {"view": "status:subscribers", "add": "status:subscribers", "delete": "status:subscribers"}
    icon = "group"
    list_title = "Subscribers"
    intro = (
        "Who is told of a page's notices. People subscribe by themselves, their addresses are masked; programs are "
        "added here."
    )
    add_label = "Add webhook"
    form_class = WebhookForm
    empty: ClassVar = (
        "mark_email_unread",
        "No subscriber yet",
        "Visitors subscribe at the bottom of a status page (mail must be configured: SMTP_URL). Programs get signed "
        "posts: add a webhook.",
    )
    list_display = ("address", "state_shown", "where", "since")
    list_filter = ("page", "kind", "state")
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

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing about a subscriber is changed by others."""
        return False

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows."""
        return {"page": first_page()}

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add a webhook, and show its secret once."""
        row, secret = services.add_webhook(**data, actor=require(request, "status:subscribers"))
        context = self.page_context(
            request, title="Signing secret", secret=secret, done_url=self.page_of(row),
            rights="The receiver checks each message with it: HMAC-SHA256 over id, timestamp and body (Standard "
            "Webhooks).",
        )  # fmt: skip
        response = TemplateResponse(request, "console/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

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
            *self._last_posts(row),
        ]

    @staticmethod
    def _last_posts(row: Subscriber) -> list[tuple[str, Any]]:
        if row.kind != Subscriber.WEBHOOK:
            return []
        lines = [
            (badge("delivered" if post.delivered_at else "pending" if post.next_attempt_at else "failed"),
             exact(post.created_at), post.error)
            for post in row.posts.order_by("-id")[:10]
        ]  # fmt: skip
        return [("Last posts", format_html_join(mark_safe("<br>"), "{} {} {}", lines) or "none yet")]


navigate(
    PUBLISH, 40, "Subscribers", icon="group", url="admin:statuspage_subscriber_changelist", code="status:subscribers"
)
