"""Rows that a caller may see."""

from datetime import datetime
from typing import Any, Self

from django.db.models import QuerySet

from apps.core.principals import Principal


class SecretQuerySet(QuerySet[Any]):
    """Secrets."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see: everything, but nothing to a key that is bound to one thing."""
        return self.none() if principal.bound_kind else self

    def ending_before(self, moment: datetime) -> Self:
        """Return the secrets whose end lies before a moment, the ones that have ended included."""
        return self.filter(expires_at__lt=moment)
