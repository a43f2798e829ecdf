"""The inbox."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, principal_of, require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import page_facts
from apps.core.templatetags.console import ago, badge
from apps.notifications import selectors, services
from apps.notifications.models import Notification


class UnreadFilter(admin.SimpleListFilter):
    """Read and unread messages."""

    title, parameter_name = "show", "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return both."""
        return [("unread", "Unread")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        return queryset.filter(read_at__isnull=True) if self.value() == "unread" else queryset


@admin.register(Notification)
class InboxAdmin(ConsoleAdmin):
    """What the person was told."""

    codes: ClassVar = {"view": "notifications:view"}
    list_title = "Inbox"
    intro = "What you were told, newest first."
    empty: ClassVar = (
        "inbox",
        "Your inbox is empty",
        "Alerts and notices of Watchkeeper itself come here, whatever channels there are.",
    )
    list_display = ("what", "level_shown", "when")
    list_filter = (UnreadFilter,)
    search_fields = ("title", "message")
    ordering = ("-id",)
    live_events = "notification"
    list_actions_template = "console/partials/read_all.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the person's own messages."""
        return Notification.objects.filter(user_id=str(require(request, "notifications:view").user_id))

    def row_tone(self, row: Notification) -> str:
        """Calm down what was read."""
        if row.read_at:
            return "muted"
        return {"critical": "crit", "warning": "warn"}.get(row.level, "")

    @column("Message")
    def what(self, row: Notification) -> SafeString:
        """Show title and text."""
        return format_html("{}<span class='sub'>{}</span>", row.title, row.message)

    @column("Level", css="tight")
    def level_shown(self, row: Notification) -> SafeString:
        """Show the level."""
        return badge(row.level)

    @column("When", order="id", css="tight")
    def when(self, row: Notification) -> Any:
        """Show when it came."""
        return ago(row.created_at)

    def detail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Mark the message as read and lead to what it is about."""
        actor = require(request, "notifications:view")
        row = self.row_or_404(request, object_id)
        services.mark_read(actor=actor, notification_id=row.pk)
        return HttpResponseRedirect(row.url if row.url.startswith("/admin/") else self.path_to("changelist"))

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer to mark all as read."""
        return [("read-all/", "read_all", self.read_all_view)]

    def read_all_view(self, request: HttpRequest) -> HttpResponse:
        """Mark all of the person's messages as read."""
        actor = require(request, "notifications:view")
        if request.method == "POST":
            services.mark_all_read(actor=actor)
        return HttpResponseRedirect(self.path_to("changelist"))


def _bell(request: HttpRequest) -> dict[str, Any]:
    principal = principal_of(request)
    if principal is None or not may(request, "notifications:view"):
        return {}
    unread = selectors.unread_count(principal)
    return {
        "inbox_url": reverse("admin:notifications_notification_changelist"),
        "inbox_unread": "99+" if unread > 99 else unread,
    }


page_facts.register("bell", _bell)
navigate(
    RESPOND, 20, "Inbox", icon="inbox", url="admin:notifications_notification_changelist", code="notifications:view"
)
