"""Pages and groups."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import validate_host
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, WordsField
from apps.core.admin.navigation import PUBLISH, navigate
from apps.core.admin.panels import FirstStep, first_steps
from apps.core.errors import DomainError, NotFound
from apps.core.templatetags.console import badge
from apps.statuspage import addresses, services
from apps.statuspage.admin.common import first_page, pages
from apps.statuspage.models import Component, Group, Page
from apps.statuspage.rendering import page_context
from apps.statuspage.selectors.public import pages_facts

EVENTS = "status.*"


class PageForm(ConsoleForm):
    """A page."""

    name = forms.CharField(max_length=100, help_text="The public reads it at the top, e.g. the name of your company.")
    slug = forms.CharField(
        max_length=63, required=False, label="Name in the address",
        help_text="The page is read at /status/… of this word. Where empty it is made of the name.",
    )  # fmt: skip
    domain = forms.CharField(
        max_length=253, required=False,
        help_text="A host name such as status.example.org that shows this page. Point it here and add it to "
        "<code>ALLOWED_HOSTS</code>.",
    )  # fmt: skip
    intro = forms.CharField(
        required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 3}), label="Introduction",
        help_text="A sentence or two below the status.",
    )  # fmt: skip
    home_url = forms.CharField(required=False, max_length=500, label="Your website", help_text="Linked at the top.")
    theme = forms.ChoiceField(choices=Page.Theme.choices, initial=Page.Theme.AUTO, label="Look")
    accent_light = forms.CharField(
        required=False, initial="#0b6e8f", label="Colour of links, light",
        widget=forms.TextInput(attrs={"type": "color", "class": "wk-short"}),
    )  # fmt: skip
    accent_dark = forms.CharField(
        required=False, initial="#5cc4e8", label="Colour of links, dark",
        widget=forms.TextInput(attrs={"type": "color", "class": "wk-short"}),
    )  # fmt: skip
    published = forms.BooleanField(required=False, initial=True, help_text="Otherwise only you see its preview.")
    is_default = forms.BooleanField(
        required=False, label="The default page", help_text="It answers at /status wherever no domain says otherwise."
    )
    allow_subscriptions = forms.BooleanField(required=False, initial=True, label="Visitors may ask for mails")
    allowed_networks = WordsField(
        required=False, lines=True, label="Only for these networks",
        help_text="One a line, such as 10.0.0.0/8. Where empty, everybody may read the page.",
    )  # fmt: skip
    groups = (
        ("Page", "", ("name", "intro", "home_url")),
        ("Address", "", ("slug", "domain", "is_default")),
        ("Look", "", ("theme", "accent_light", "accent_dark")),
        ("Who may read it", "", ("published", "allow_subscriptions", "allowed_networks")),
    )


def _values(data: dict[str, Any]) -> dict[str, Any]:
    values = dict(data)
    for name in ("slug", "accent_light", "accent_dark"):
        if not values.get(name):
            values.pop(name, None)
    return values


@admin.register(Page)
class PageAdmin(ConsoleAdmin):
    """Public pages."""

    codes: ClassVar = {
        "view": "status:view",
        "add": "status:create",
        "change": "status:update",
        "delete": "status:delete",
    }
    icon = "public"
    subject_kind = "status_page"
    list_title = "Status pages"
    intro = "What the public reads about how your services are. Only the names you give here ever leave the house."
    add_label = "Add status page"
    empty: ClassVar = (
        "public",
        "No status page yet",
        "Add one, put components on it, and send its address to those who use your services.",
    )
    form_class = PageForm
    list_display = ("what", "state_shown", "shown", "things", "readers")
    search_fields = ("name", "slug", "domain")
    search_help_text = "Name or address"
    ordering = ("name", "id")
    live_events = EVENTS
    detail_template = "statuspage/console_page.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the pages with what the list counts."""
        confirmed = Count("subscribers", filter=Q(subscribers__state="confirmed"), distinct=True)
        counted = {"component_count": Count("components", distinct=True), "subscriber_count": confirmed}
        return super().get_queryset(request).select_related("state").annotate(**counted)

    @column("Page", order="name")
    def what(self, row: Page) -> SafeString:
        """Show name and address."""
        return format_html("{}<span class='sub'>{}</span>", row.name, addresses.url_of(row))

    @column("Status", css="tight")
    def state_shown(self, row: Page) -> SafeString:
        """Show the status of the whole page."""
        return badge(row.state.status if hasattr(row, "state") else "no_data")

    @column("Shown", css="tight")
    def shown(self, row: Page) -> SafeString:
        """Show who may read it."""
        return badge("unpublished" if not row.published else "private" if row.is_private else "published")

    @column("Components", css="figure")
    def things(self, row: Page) -> int:
        """Count the components."""
        return int(row.component_count)  # type: ignore[attr-defined]

    @column("Subscribers", css="figure quiet")
    def readers(self, row: Page) -> int:
        """Count those who get mails."""
        return int(row.subscriber_count)  # type: ignore[attr-defined]

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Page:
        """Add a page."""
        return services.create_page(values=_values(data), actor=require(request, "status:create"))

    def update(self, request: HttpRequest, row: Page, data: dict[str, Any]) -> Page:
        """Change a page."""
        return services.update_page(page_id=row.pk, values=_values(data), actor=require(request, "status:update"))

    def remove(self, request: HttpRequest, row: Page) -> None:
        """Remove a page."""
        services.delete_page(page_id=row.pk, actor=require(request, "status:delete"))

    def delete_warning(self, row: Page) -> str:
        """Return what removing the row means."""
        return "Its components, notices and subscribers go with it. What the components stand for stays."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the paths of the preview and of the logo."""
        return [
            ("<str:object_id>/preview/", "preview", self.preview_view),
            ("<str:object_id>/logo/", "logo", self.logo_view),
        ]

    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the page as the public sees it, also while it is not published."""
        require(request, "status:view")
        row = self.row_or_404(request, object_id)
        found = pages_facts(timezone.now(), only=row.pk)
        if not found:
            raise NotFound("There is no such page.")
        page, facts = found[0]
        context = page_context(page, facts, timezone.now(), has_logo=False) | {"is_preview": True}
        return HttpResponse(render_to_string("statuspage/page.html", context))

    def logo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take a picture, or take it away."""
        actor = require(request, "status:update")
        row = self.row_or_404(request, object_id)
        if request.method == "POST":
            given = request.FILES.get("logo")
            try:
                if request.POST.get("remove"):
                    services.remove_logo(page_id=row.pk, actor=actor)
                    messages.success(request, "The logo is removed.")
                else:
                    services.set_logo(page_id=row.pk, body=given.read(300_000) if given else b"", actor=actor)
                    messages.success(request, "The logo is saved.")
            except DomainError as error:
                messages.error(request, str(error))
        return HttpResponseRedirect(self.page_of(row))

    def detail_context(self, request: HttpRequest, row: Page) -> dict[str, Any]:
        """Return what stands on the page, and how it is reached."""
        components = Component.objects.filter(page=row).select_related("state", "group")
        sections: dict[Any, list[Component]] = {group: [] for group in row.groups.all()}
        for component in components:
            sections.setdefault(component.group, []).append(component)
        listed = sorted(sections.items(), key=lambda pair: (pair[0] is None, pair[0].position if pair[0] else 0))
        return {
            "url": addresses.url_of(row),
            "preview_url": self.path_to("preview", row),
            "logo_url": self.path_to("logo", row) if may(request, "status:update") else "",
            "has_logo": hasattr(row, "logo"),
            "sections": listed,
            "add_component_url": reverse("admin:statuspage_component_add") + f"?page={row.pk}"
            if may(request, "status:create")
            else "",
            "add_group_url": reverse("admin:statuspage_group_add") + f"?page={row.pk}"
            if may(request, "status:create")
            else "",
            "add_notice_url": reverse("admin:statuspage_notice_add") + f"?page={row.pk}"
            if may(request, "status:create")
            else "",
            "notices": row.notices.all()[:8],
            "shown_state": self.shown(row),
            "foreign_host": bool(row.domain) and not validate_host(row.domain, settings.ALLOWED_HOSTS),
            "networks": row.allowed_networks,
        }


class GroupForm(ConsoleForm):
    """A group."""

    page = forms.ModelChoiceField(pages(), empty_label=None)
    name = forms.CharField(max_length=100, help_text="The heading over its components.")
    position = forms.IntegerField(initial=0, required=False, label="Place", help_text="Small first.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["page"].queryset = pages()  # type: ignore[attr-defined]
        self.fields["page"].required = pages().exists()


@admin.register(Group)
class GroupAdmin(ConsoleAdmin):
    """Headings of components."""

    codes: ClassVar = {
        "view": "status:view",
        "add": "status:create",
        "change": "status:update",
        "delete": "status:delete",
    }
    icon = "category"
    list_title = "Component groups"
    intro = "Headings under which components stand together."
    add_label = "Add group"
    empty: ClassVar = (
        "category",
        "No group yet",
        "With more than a handful of components, groups make a page readable.",
    )
    form_class = GroupForm
    list_display = ("name", "where", "position")
    list_filter = ("page",)
    search_fields = ("name",)
    ordering = ("position", "name", "id")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the groups with their pages."""
        return super().get_queryset(request).select_related("page")

    @column("Page")
    def where(self, row: Group) -> str:
        """Show the page."""
        return row.page.name

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows."""
        return {"page": first_page(), **super().initial(request, row)}

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Group:
        """Add a group."""
        return services.create_group(
            name=data["name"], position=data["position"] or 0, page=data["page"],
            actor=require(request, "status:create"),
        )  # fmt: skip

    def update(self, request: HttpRequest, row: Group, data: dict[str, Any]) -> Group:
        """Change a group."""
        values = {"name": data["name"], "position": data["position"] or 0}
        return services.update_group(group_id=row.pk, values=values, actor=require(request, "status:update"))

    def remove(self, request: HttpRequest, row: Group) -> None:
        """Remove a group."""
        services.delete_group(group_id=row.pk, actor=require(request, "status:delete"))

    def delete_warning(self, row: Group) -> str:
        """Return what removing the row means."""
        return "Its components stay on the page, without a heading."

    def facts(self, request: HttpRequest, row: Group) -> list[tuple[str, Any]]:
        """Return the group."""
        page = format_html(
            '<a class="wk-link" href="{}">{}</a>', reverse("admin:statuspage_page_detail", args=[row.page_id]), row.page
        )
        names = ", ".join(row.components.values_list("name", flat=True))
        return [("Page", page), ("Place", row.position), ("Components", names or "none")]


def _add_page(request: HttpRequest) -> FirstStep:
    return FirstStep(
        Page.objects.exists(),
        "Publish a status page",
        "Tell those who use your services how they are, under names of your own.",
        reverse("admin:statuspage_page_add"),
        "Add status page",
    )


navigate(PUBLISH, 10, "Status pages", icon="public", url="admin:statuspage_page_changelist", code="status:view")
navigate(PUBLISH, 30, "Groups", icon="category", url="admin:statuspage_group_changelist", code="status:view")
first_steps.register("status page", (60, "status:create", _add_page))
