"""Notices: write, publish, say something new, correct."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.alerts.models import Alert
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import PUBLISH, navigate
from apps.core.errors import DomainError
from apps.core.templatetags.console import ago, badge
from apps.statuspage import addresses, services
from apps.statuspage.admin.common import MomentField, first_page, pages
from apps.statuspage.models import Component, Notice
from apps.statuspage.services.notices import find_update
from apps.statuspage.states import INCIDENT_STATES, LAST, MAINTENANCE_STATES, NOTICE, NoticeKind, NoticeState, Severity


class NoticeForm(ConsoleForm):
    """A notice."""

    kind = forms.ChoiceField(choices=NoticeKind.choices, initial="incident", label="What it tells of")
    page = forms.ModelChoiceField(pages(), empty_label=None)
    title = forms.CharField(max_length=200, help_text="In the words of those who use it: “Payments fail”.")
    severity = forms.ChoiceField(choices=Severity.choices, initial=Severity.MINOR)
    message = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 5}), label="First message",
        help_text="What is known, what is being done, when you will say more.",
    )  # fmt: skip
    components: Any = forms.ModelMultipleChoiceField(
        Component.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="Affected components"
    )
    starts_at = MomentField(required=False, label="From", help_text="Where empty: now.")
    ends_at = MomentField(required=False, label="To", help_text="A maintenance needs its end.")
    publish = forms.BooleanField(
        required=False, label="Publish at once", help_text="Otherwise it is a draft that only you and colleagues see."
    )
    groups = (
        ("Notice", "", ("kind", "severity", "page", "title", "message")),
        ("Affected", "", ("components",)),
        ("Time", "of a maintenance", ("starts_at", "ends_at")),
        ("Publish", "", ("publish",)),
    )
    service_names: ClassVar = {"page_id": "page", "state": "kind"}
    in_readers_zone = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "page" in self.fields:
            self.fields["page"].queryset = pages()  # type: ignore[attr-defined]
            self.fields["page"].required = pages().exists()
        rows: Any = self.fields["components"]
        rows.queryset = Component.objects.select_related("page").order_by("page__name", "position", "name")
        several = pages().count() > 1
        rows.label_from_instance = lambda row: f"{row.name} ({row.page.name})" if several else row.name


class NoticeChangeForm(NoticeForm):
    """What of a notice is changed without an update."""

    kind = page = message = publish = None  # type: ignore[assignment]


class DraftFilter(admin.SimpleListFilter):
    """Notices that the public sees, or not yet."""

    title, parameter_name = "shown", "draft"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return both."""
        return [("yes", "Drafts"), ("no", "Published")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        return queryset.filter(published_at__isnull=self.value() == "yes") if self.value() else queryset


def _publish(request: HttpRequest, row: Notice, note: str) -> str:
    services.publish_notice(notice_id=row.pk, actor=require(request, "status:publish"))
    return f"“{row.title}” is published, and the subscribers are told."


@admin.register(Notice)
class NoticeAdmin(ConsoleAdmin):
    """What the public is told."""

    codes: ClassVar = {
        "view": "status:view",
        "add": "status:create",
        "change": "status:update",
        "delete": "status:delete",
    }
    icon = "campaign"
    subject_kind = "status_notice"
    list_title = "Notices"
    intro = (
        "Incidents and maintenance in your own words. A draft is seen by nobody outside until somebody publishes it."
    )
    add_label = "Write notice"
    empty: ClassVar = (
        "campaign",
        "No notice yet",
        "When something is wrong or planned, tell your users here before they ask.",
    )
    form_class = NoticeForm
    list_display = ("what", "state_shown", "kind_shown", "shown", "begun")
    list_filter = (DraftFilter, "kind", "state", "page")
    search_fields = ("title",)
    search_help_text = "Title"
    ordering = ("-id",)
    live_events = "status.*"
    detail_template = "statuspage/console_notice.html"
    transitions = (
        Transition(
            "publish",
            "Publish",
            "public",
            "status:publish",
            _publish,
            offered=lambda row: row.is_draft and row.state not in LAST,
            ask="Publish this notice and tell the subscribers?",
            tone="primary",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the notices with their pages."""
        return super().get_queryset(request).select_related("page")

    def row_tone(self, row: Notice) -> str:
        """Mark what is going on, calm down what is over."""
        if row.state in LAST:
            return "muted"
        return "" if row.is_draft else {"critical": "crit", "major": "warn"}.get(row.severity, "")

    @column("Notice", order="title")
    def what(self, row: Notice) -> SafeString:
        """Show title and page."""
        return format_html("{}<span class='sub'>{}</span>", row.title, row.page.name)

    @column("State", css="tight")
    def state_shown(self, row: Notice) -> SafeString:
        """Show where it stands."""
        return badge(row.state)

    @column("Kind", css="tight quiet")
    def kind_shown(self, row: Notice) -> str:
        """Show kind and severity."""
        return "Maintenance" if row.kind == "maintenance" else f"{row.get_severity_display()} incident"

    @column("Shown", css="tight")
    def shown(self, row: Notice) -> SafeString:
        """Show whether the public sees it."""
        return badge("draft" if row.is_draft else "published")

    @column("Begins", order="starts_at", css="tight")
    def begun(self, row: Notice) -> Any:
        """Show when it began or begins."""
        return ago(row.starts_at)

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form of a new notice or of an old one."""
        return NoticeForm if row is None else NoticeChangeForm

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows."""
        if row is None:
            return {"page": first_page(), **super().initial(request, row)}
        return {
            "title": row.title,
            "severity": row.severity,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "components": list(row.components.all()),
        }

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Notice:
        """Write a notice."""
        values = dict(data)
        publish = values.pop("publish")
        if publish:
            require(request, "status:publish")
        return services.create_notice(values=values, actor=require(request, "status:create"), publish=publish)

    def update(self, request: HttpRequest, row: Notice, data: dict[str, Any]) -> Notice:
        """Change a notice."""
        return services.update_notice(notice_id=row.pk, values=data, actor=require(request, "status:update"))

    def remove(self, request: HttpRequest, row: Notice) -> None:
        """Remove a notice."""
        services.delete_notice(notice_id=row.pk, actor=require(request, "status:delete"))

    def delete_warning(self, row: Notice) -> str:
        """Return what removing the row means."""
        return "It goes from the page and from its history. To end an incident, say that it is resolved instead."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the paths by which something is said and corrected."""
        return [
            ("<str:object_id>/say/", "say", self.say_view),
            ("<str:object_id>/updates/<str:update_id>/", "edit_update", self.edit_view),
        ]

    def say_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say something new."""
        actor = require(request, "status:publish")
        row = self.row_or_404(request, object_id)
        if request.method == "POST":
            try:
                services.add_update(
                    notice_id=row.pk, state=request.POST.get("state", ""), message=request.POST.get("message", ""),
                    actor=actor,
                )  # fmt: skip
                messages.success(
                    request, "It is said." if row.is_draft else "It is said, and the subscribers are told."
                )
            except DomainError as error:
                messages.error(request, str(error))
        return HttpResponseRedirect(self.page_of(row))

    def edit_view(self, request: HttpRequest, object_id: str, update_id: str) -> HttpResponse:
        """Correct what was said."""
        actor = require(request, "status:publish")
        row = self.row_or_404(request, object_id)
        if request.method == "POST":
            try:
                update = find_update(row, update_id)
                services.edit_update(update_id=update.pk, message=request.POST.get("message", ""), actor=actor)
                messages.success(request, "It is corrected; what it said before is kept here.")
            except DomainError as error:
                messages.error(request, str(error))
        return HttpResponseRedirect(self.page_of(row))

    def detail_context(self, request: HttpRequest, row: Notice) -> dict[str, Any]:
        """Return what was said, and what may be said next."""
        order = INCIDENT_STATES if row.kind == "incident" else MAINTENANCE_STATES
        words = dict(NoticeState.choices)
        following = [(state, words[state]) for state in order if NOTICE[row.kind].allows(row.state, state)]
        may_say = may(request, "status:publish")
        alert = Alert.objects.filter(pk=row.drafted_from).first() if row.drafted_from else None
        updates = list(row.updates.prefetch_related("edits"))
        return {
            "draft_state": "draft" if row.is_draft else "published",
            "components": list(row.components.all()),
            "updates": [
                {"row": one, "edit_url": reverse(f"admin:{self._name('edit_update')}", args=[row.pk, one.pk])}
                for one in updates
            ],
            "say_url": self.path_to("say", row) if may_say and following else "",
            "may_say": may_say,
            "following": following,
            "alert": alert,
            "alert_url": reverse("admin:alerts_alert_detail", args=[alert.pk]) if alert else "",
            "public_url": "" if row.is_draft else addresses.notice_url(row.page, row),
            "preview_url": reverse("admin:statuspage_page_preview", args=[row.page_id]),
            "page_url": reverse("admin:statuspage_page_detail", args=[row.page_id]),
        }


def _drafts(request: HttpRequest) -> str:
    count = Notice.objects.filter(published_at__isnull=True).exclude(state__in=LAST).count()
    return str(count) if count else ""


navigate(
    PUBLISH, 0, "Notices", icon="campaign", url="admin:statuspage_notice_changelist", code="status:view",
    badge=_drafts, badge_tone="info",
)  # fmt: skip
