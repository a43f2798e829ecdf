"""The console's admin site."""

from typing import Any

from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse
from unfold.sites import UnfoldAdminSite

from apps.core import runtime_settings
from apps.core.admin.access import may, principal_of
from apps.core.admin.overview import overview
from apps.core.admin.pages import pages
from apps.core.admin.panels import page_facts
from apps.core.registries import sign_in_pages


class ConsoleSite(UnfoldAdminSite):
    """Django's admin as the console: own login, own overview."""

    enable_nav_sidebar = True
    final_catch_all_view = False

    def get_urls(self) -> list[Any]:
        """Return the site's paths; the sign-in pages come first and take the place of Django's own."""
        own = [path(page.route, page.view, name=name) for name, page in sign_in_pages.items()]
        return [*own, *super().get_urls()]

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether somebody with any right is signed in for good: second step passed, nothing owed."""
        principal = principal_of(request)
        return principal is not None and not principal.restriction and getattr(request.user, "is_staff", False)

    def extra_urls(self) -> list[URLPattern | URLResolver]:
        """Return the pages that apps registered."""
        return [path(page.route, self.admin_view(page.view), name=page.name) for _, page in pages.items()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the overview."""
        return overview(request)

    def app_index(self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Lead to the overview: apps are how the code is cut, not how people look for things."""
        return HttpResponseRedirect(reverse("admin:index"))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what every page needs."""
        context: dict[str, Any] = super().each_context(request)
        context["installation_name"] = runtime_settings.get("general.installation_name")
        context["may_follow"] = may(request, "events:view")
        if principal_of(request) is not None:
            for _, facts in page_facts.items():
                context.update(facts(request))
        return context
