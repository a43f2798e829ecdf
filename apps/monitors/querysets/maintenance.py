"""Querysets of maintenance windows."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.core.principals import Principal

if TYPE_CHECKING:
    from apps.monitors.models import MaintenanceWindow  # noqa: F401

UPCOMING, ACTIVE, COMPLETED = STATES = ("upcoming", "active", "completed")


class MaintenanceQuerySet(QuerySet["MaintenanceWindow"]):
    """Maintenance windows as lists and pages need them."""

    def visible_to(self, principal: Principal) -> "MaintenanceQuerySet":
        """Return what the caller may see: everything, but nothing to a key that is bound to one thing."""
        return self.none() if principal.bound_kind else self

    def in_state(self, state: str, now: datetime | None = None) -> "MaintenanceQuerySet":
        """Return those that are upcoming, active or completed, as far as the sweep has come (within seconds)."""
        now = now or timezone.now()
        running = Q(running_since__lte=now, running_until__gt=now)
        if state == ACTIVE:
            return self.filter(running)
        more = Q(enabled=True, next_change_at__isnull=False)
        return self.exclude(running).filter(more) if state == UPCOMING else self.exclude(running).exclude(more)
