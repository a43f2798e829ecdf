"""Which agents, tokens and requests a caller may see."""

from typing import Any

from django.db import models

from apps.core.principals import Principal
from apps.fleet.querysets import by_ref


class HostAgentQuerySet(models.QuerySet[Any]):
    """Host agents."""

    def visible_to(self, principal: Principal) -> "HostAgentQuerySet":
        """Return those the caller may see: all that are not deleted, or that of the server its key is bound to."""
        rows = self.filter(deleted_at__isnull=True)
        if not principal.can("agents:view"):
            return self.none()
        if principal.bound_kind == "server":
            return rows.filter(by_ref(principal.bound_id, "server__"))
        return self.none() if principal.bound_kind else rows

    def called(self, ref: str) -> "HostAgentQuerySet":
        """Return the one whose server has this slug or id."""
        return self.filter(by_ref(ref, "server__"))

    def current(self) -> "HostAgentQuerySet":
        """Return those that are not deleted."""
        return self.filter(deleted_at__isnull=True)


class EnrolmentRequestQuerySet(models.QuerySet[Any]):
    """Wishes to be let in."""

    def visible_to(self, principal: Principal) -> "EnrolmentRequestQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("agents:manage"):
            return self.none()
        return self


class EnrolmentTokenQuerySet(models.QuerySet[Any]):
    """Enrolment tokens."""

    def visible_to(self, principal: Principal) -> "EnrolmentTokenQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("agents:approve"):
            return self.none()
        return self
