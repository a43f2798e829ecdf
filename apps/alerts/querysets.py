"""Rows that a caller may see."""

from datetime import datetime
from typing import Any, Self

from django.db.models import Q, QuerySet

from apps.alerts.states import RESOLVED
from apps.core.principals import Principal


class AlertQuerySet(QuerySet[Any]):
    """Alerts."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see: a key bound to a server sees that server's alerts alone."""
        if principal.bound_kind == "server":
            return self.filter(server_id=principal.bound_id)
        return self

    def unresolved(self) -> Self:
        """Return the alerts that are still open, acknowledged or not."""
        return self.exclude(status=RESOLVED)

    def of_type(self, kind: str) -> Self:
        """Return the alerts of a type: "disk" means every disk."""
        return self.filter(Q(kind=kind) | Q(kind__startswith=f"{kind}:"))


class ThresholdQuerySet(QuerySet[Any]):
    """Thresholds."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see: the global ones, and a bound key's own server's."""
        if principal.bound_kind == "server":
            return self.filter(Q(server_id=principal.bound_id) | Q(server_id__isnull=True))
        return self


class SilenceQuerySet(QuerySet[Any]):
    """Silences."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see: a key bound to a server sees none, they speak of other things' names."""
        return self.none() if principal.bound_kind else self

    def running(self, at: datetime) -> Self:
        """Return the silences in force at a moment."""
        return self.filter(ended_at__isnull=True, cancelled_at__isnull=True, starts_at__lte=at, ends_at__gt=at)
