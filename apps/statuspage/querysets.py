"""Rows that a caller may see."""

from typing import Any, Self

from django.db.models import QuerySet
from django.utils import timezone

from apps.core.principals import Principal
from apps.statuspage.states import LAST


class StatusQuerySet(QuerySet[Any]):
    """Pages and what belongs to them: of one tenant, so all or, for a key bound to a thing, none."""

    def visible_to(self, principal: Principal) -> Self:
        """Return what the caller may see."""
        return self.none() if principal.bound_kind else self


class PageQuerySet(StatusQuerySet):
    """Pages."""


class GroupQuerySet(StatusQuerySet):
    """Groups."""


class ComponentQuerySet(StatusQuerySet):
    """Components."""


class SubscriberQuerySet(StatusQuerySet):
    """Subscribers."""


class NoticeQuerySet(StatusQuerySet):
    """Notices."""

    def published(self) -> Self:
        """Return what the public may read."""
        return self.filter(published_at__isnull=False, published_at__lte=timezone.now())

    def unfinished(self) -> Self:
        """Return what has not ended."""
        return self.exclude(state__in=LAST)
