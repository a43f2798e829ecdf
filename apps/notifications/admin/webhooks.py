"""Webhooks and their deliveries."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.errors import DomainError
from apps.core.templatetags.console import ago, badge
from apps.notifications import selectors, services
from apps.notifications.admin.common import state_of, tell
from apps.notifications.models import Delivery, Webhook


class WebhookForm(ConsoleForm):
    """A program that is told."""

    url = forms.CharField(
        max_length=2000,
        label="URL",
        help_text="Gets a signed POST with JSON for every event. Private addresses need OUTBOUND_ALLOW.",
    )
    events = WordsField(
        required=False,
        initial=["alert.*"],
        help_text="Names or families such as alert.*; * or empty means everything you may read.",
    )
    name = forms.CharField(max_length=100, required=False, help_text="The URL's host where empty.")
    description = forms.CharField(max_length=500, required=False)
    enabled = forms.BooleanField(required=False, initial=True)


def _test_webhook(request: HttpRequest, row: Webhook, note: str) -> HttpResponse:
    result = services.try_webhook(actor=require(request, "webhooks:test"), webhook=row)
    return tell(request, row, result.outcome)


@admin.register(Webhook)
class WebhookAdmin(ConsoleAdmin):
    """Programs that are told by signed POSTs."""

    codes: ClassVar = {
        "view": "webhooks:view",
        "add": "webhooks:create",
        "change": "webhooks:update",
        "delete": "webhooks:delete",
    }
    list_title = "Webhooks"
    intro = "Programs that get a signed POST for every event that matches, in order, at least once."
    add_label = "Add webhook"
    empty: ClassVar = (
        "webhook",
        "No webhook yet",
        "Add one to hand alerts to a chat, a ticket system or a script of your own.",
    )
    form_class = WebhookForm
    list_display = ("webhook", "events_shown", "health", "told")
    search_fields = ("name", "url")
    ordering = ("name", "id")
    detail_template = "console/webhook.html"
    transitions = (Transition("test", "Send test", "send", "webhooks:test", _test_webhook, tone="primary"),)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the webhooks with state and owner."""
        return selectors.webhooks_with_state()

    def row_tone(self, row: Webhook) -> str:
        """Mark what fails."""
        return {"failing": "warn", "disabled": "muted"}.get(state_of(row), "")

    @column("Webhook", order="name")
    def webhook(self, row: Webhook) -> SafeString:
        """Show name and address."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.url)

    @column("Events", css="wide")
    def events_shown(self, row: Webhook) -> SafeString:
        """Show what it is told of."""
        return format_html_join(" ", "<span class='wk-tag'>{}</span>", ((word,) for word in row.events))

    @column("State", css="tight")
    def health(self, row: Webhook) -> SafeString:
        """Show whether it works."""
        return badge(state_of(row))

    @column("Last delivered", css="tight")
    def told(self, row: Webhook) -> Any:
        """Show when something arrived."""
        return ago(row.state.last_delivered_at)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add a webhook and show the secret that was made for it, this once."""
        row, secret = services.create_webhook(
            actor=require(request, "webhooks:create"), **{**data, "events": data["events"] or None}
        )
        return self._secret_page(request, row, secret) if secret else row

    def update(self, request: HttpRequest, row: Webhook, data: dict[str, Any]) -> Webhook:
        """Change a webhook."""
        changes = {**data, "name": data["name"] or row.name, "events": data["events"] or ["*"]}
        return services.update_webhook(actor=require(request, "webhooks:update"), webhook_id=row.pk, changes=changes)[0]

    def remove(self, request: HttpRequest, row: Webhook) -> None:
        """Remove a webhook."""
        services.delete_webhook(actor=require(request, "webhooks:delete"), webhook_id=row.pk)

    def _secret_page(self, request: HttpRequest, row: Webhook, secret: str) -> HttpResponse:
        context = self.page_context(
            request,
            title=f"Signing secret of {row.name}",
            row=row,
            secret=secret,
            done_url=self.page_of(row),
            rights="The receiver checks each message with it: HMAC-SHA256 over id, timestamp and body (Standard "
            "Webhooks).",
        )
        response = TemplateResponse(request, "console/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def detail_context(self, request: HttpRequest, row: Webhook) -> dict[str, Any]:
        """Return the deliveries with their attempts."""
        principal = require(request, "webhooks:view")
        may_test = may(request, "webhooks:test")
        deliveries = [
            {
                "one": one,
                "tries": list(one.tries.all()),
                "payload": selectors.payload_for(principal, one),
                "again_url": self.path_to("redeliver_base", row) + f"{one.uid}/redeliver/"
                if may_test and row.enabled and one.state != Delivery.State.PENDING
                else "",
            }
            for one in selectors.deliveries_of(row.pk)[:25]
        ]
        return {
            "badge_state": state_of(row),
            "deliveries": deliveries,
            "statistics": selectors.delivery_statistics(row.pk),
            "rotate_url": self.path_to("rotate", row) if may(request, "webhooks:update") else "",
        }

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer a new secret and redelivery."""
        return [
            ("<str:object_id>/rotate/", "rotate", self.rotate_view),
            ("<str:object_id>/deliveries/", "redeliver_base", self.deliveries_view),
            ("<str:object_id>/deliveries/<uuid:delivery_uid>/redeliver/", "redeliver", self.redeliver_view),
        ]

    def deliveries_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the webhook's page, which lists them."""
        require(request, "webhooks:view")
        return HttpResponseRedirect(self.page_of(self.row_or_404(request, object_id)))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a new secret; the former one signs beside it for a time."""
        actor = require(request, "webhooks:update")
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(row))
        try:
            row, secret = services.update_webhook(actor=actor, webhook_id=row.pk, changes={"rotate_secret": True})
        except DomainError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.page_of(row))
        return self._secret_page(request, row, secret or "")

    def redeliver_view(self, request: HttpRequest, object_id: str, delivery_uid: UUID) -> HttpResponse:
        """Queue a message once more."""
        actor = require(request, "webhooks:test")
        row = self.row_or_404(request, object_id)
        try:
            delivery = Delivery.objects.get(uid=delivery_uid, destination_id=row.pk)
        except (Delivery.DoesNotExist, ValidationError) as error:
            raise Http404("There is no such delivery of this webhook.") from error
        if request.method == "POST":
            try:
                services.redeliver(actor=actor, delivery=delivery)
            except DomainError as error:
                messages.error(request, str(error))
            else:
                messages.success(request, "Queued once more, with the same webhook-id.")
        return HttpResponseRedirect(self.page_of(row))


navigate(RESPOND, 50, "Webhooks", icon="webhook", url="admin:notifications_webhook_changelist", code="webhooks:view")
