"""The sidebar: groups of links that apps register; each is shown to whom its code allows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.core.admin.access import may
from apps.core.registries import Registry

WATCH, RESPOND, PUBLISH, ADMINISTER = "Watch", "Respond", "Publish", "Administer"
GROUPS = (WATCH, RESPOND, PUBLISH, ADMINISTER)


@dataclass(frozen=True, slots=True)
class NavItem:
    """One link of the sidebar.

    Args:
        order: place within its group, small first.
        url: name of its view, e.g. "admin:alerts_alert_changelist".
        code: permission a person needs to see it.
        badge: request -> figure shown beside it; "" for none.
        badge_tone: "danger", "warning", "info" or "primary".
    """

    group: str
    order: int
    title: str
    icon: str
    url: str
    code: str
    badge: Callable[[HttpRequest], str] | None = None
    badge_tone: str = "danger"


navigation: Registry[NavItem] = Registry("navigation item")


def navigate(group: str, order: int, title: str, *, icon: str, url: str, code: str, **more: Any) -> NavItem:
    """Register a link of the sidebar; its title is its key."""
    return navigation.register(f"{group}:{title}", NavItem(group, order, title, icon, url, code, **more))


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar as the theme wants it."""
    groups: list[dict[str, Any]] = []
    for group in GROUPS:
        mine = sorted((item for _, item in navigation.items() if item.group == group), key=lambda item: item.order)
        links = [_link(request, item) for item in mine if may(request, item.code)]
        if links:
            groups.append({"title": group, "items": links})
    return groups


def _link(request: HttpRequest, item: NavItem) -> dict[str, Any]:
    path = reverse(item.url)
    index = reverse("admin:index")
    active = request.path == path if path == index else request.path.startswith(path)
    link: dict[str, Any] = {"title": item.title, "icon": item.icon, "link": path, "active": lambda _: active}
    badge = item.badge(request) if item.badge else ""
    if badge:
        link |= {"badge": badge, "badge_variant": item.badge_tone}
    return link


def account_links(request: HttpRequest) -> list[dict[str, str]]:
    """Return the links of the person's own menu."""
    return [
        {"title": "Profile", "link": reverse("admin:profile")},
        {"title": "Two-step sign-in", "link": reverse("admin:mfa")},
        {"title": "Change password", "link": reverse("admin:password_change")},
    ]
