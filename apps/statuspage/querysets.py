"""Rows that a caller may see: of one tenant, so all or, for a key bound to a thing, none."""

from typing import Any, Self

from django.db.models import QuerySet
from django.utils import timezone

from apps.core.principals import Principal
from apps.statuspage.states import LAST


class PageQuerySet(QuerySet[Any]):
    """Pages."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self


class GroupQuerySet(QuerySet[Any]):
    """Groups."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self


class ComponentQuerySet(QuerySet[Any]):
    """Components."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self


class SubscriberQuerySet(QuerySet[Any]):
    """Subscribers."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self


class NoticeQuerySet(QuerySet[Any]):
    """Notices."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self

    def published(self) -> Self:
        """Return what the public may read."""
        return self.filter(published_at__isnull=False, published_at__lte=timezone.now())

    def unfinished(self) -> Self:
        """Return what has not ended."""
        return self.exclude(state__in=LAST)
