"""Querysets of ping keys and badges."""

from typing import Any

from django.db.models import QuerySet

from apps.core.principals import Principal


class UnboundQuerySet(QuerySet[Any]):
    """Rows that everybody with the permission sees."""

    def visible_to(self, principal: Principal) -> "UnboundQuerySet":
        """Return what the caller may see: everything, but nothing to a key that is bound to one thing."""
        return self.none() if principal.bound_kind else self
