"""Querysets of heartbeats."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from apps.core.principals import Principal

if TYPE_CHECKING:
    from apps.monitors.models import Heartbeat  # noqa: F401


class HeartbeatQuerySet(QuerySet["Heartbeat"]):
    """Heartbeats as lists and pages need them."""

    def visible_to(self, principal: Principal) -> "HeartbeatQuerySet":
        """Return what the caller may see: everything, but nothing to a key that is bound to one thing."""
        return self.none() if principal.bound_kind else self

    def with_state(self) -> "HeartbeatQuerySet":
        """Load state and tags along: two queries, however many rows."""
        return self.select_related("state").prefetch_related("tags")

    def with_status(self, status: str) -> "HeartbeatQuerySet":
        """Return those in a status."""
        return self.filter(state__status=status)

    def tagged(self, names: Iterable[str]) -> "HeartbeatQuerySet":
        """Return those that carry every one of the tags."""
        rows = self
        for name in names:
            rows = rows.filter(tags__name=name)
        return rows

    def matching(self, text: str) -> "HeartbeatQuerySet":
        """Return those whose name or description contains the text."""
        return self.filter(Q(name__icontains=text) | Q(description__icontains=text))
