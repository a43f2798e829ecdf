"""Querysets of certificate monitors."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from apps.core.principals import Principal

if TYPE_CHECKING:
    from apps.monitors.models import CertificateMonitor  # noqa: F401


class CertificateQuerySet(QuerySet["CertificateMonitor"]):
    """Certificates as lists and pages need them."""

    def visible_to(self, principal: Principal) -> "CertificateQuerySet":
        """Return what the caller may see: everything, but nothing to a key that is bound to one thing."""
        return self.none() if principal.bound_kind else self

    def with_state(self) -> "CertificateQuerySet":
        """Load state, endpoint and tags along: three queries, however many rows."""
        return self.select_related("state", "endpoint").prefetch_related("tags", "endpoint__tags")

    def with_status(self, status: str) -> "CertificateQuerySet":
        """Return those in a status."""
        return self.filter(state__status=status)

    def tagged(self, names: Iterable[str]) -> "CertificateQuerySet":
        """Return those that carry every one of the tags, themselves or by the endpoint that sees them."""
        rows = self
        for name in names:
            carries = Q(tags__name=name) | Q(endpoint__tags__name=name)
            rows = rows.filter(pk__in=self.model._default_manager.filter(carries).values("pk"))
        return rows

    def matching(self, text: str) -> "CertificateQuerySet":
        """Return those whose host, server name, subject or issuer contains the text."""
        return self.filter(
            Q(hostname__icontains=text)
            | Q(server_name__icontains=text)
            | Q(state__subject__icontains=text)
            | Q(state__issuer__icontains=text)
        )
