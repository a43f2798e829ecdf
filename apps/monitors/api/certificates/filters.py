"""Filters of the list of certificate monitors."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters

from apps.monitors.models import CertificateMonitor
from apps.monitors.querysets.certificates import CertificateQuerySet
from apps.monitors.states.certificates import STATUSES


class CertificateFilter(filters.FilterSet):
    """Every filter narrows; `tag` may be given several times and then means all of them."""

    status = filters.ChoiceFilter(choices=[(one, one) for one in STATUSES], method="with_status")
    source = filters.ChoiceFilter(choices=[(one, one) for one in CertificateMonitor.SOURCES])
    endpoint_id = filters.UUIDFilter()
    enabled = filters.BooleanFilter()
    days_left = filters.NumberFilter(method="ending", help_text="those that end within so many days")
    tag = filters.CharFilter(method="tagged", help_text="repeat it: all of them")
    search = filters.CharFilter(method="matching", help_text="in host, server name, subject and issuer")
    ordering = filters.OrderingFilter(
        fields=(
            ("hostname", "hostname"),
            ("created_at", "created_at"),
            ("state__status", "status"),
            ("state__not_after", "not_after"),
            ("state__last_check_at", "last_check_at"),
        )
    )

    class Meta:
        model = CertificateMonitor
        fields: list[str] = []

    def with_status(self, rows: CertificateQuerySet, name: str, value: str) -> CertificateQuerySet:
        """Keep those in the status."""
        return rows.with_status(value)

    def ending(self, rows: Any, name: str, value: Any) -> QuerySet[CertificateMonitor]:
        """Keep those that end in time."""
        days = min(max(float(value), -36500), 36500)
        found: QuerySet[CertificateMonitor] = rows.filter(state__not_after__lte=timezone.now() + timedelta(days=days))
        return found

    def tagged(self, rows: CertificateQuerySet, name: str, value: str) -> CertificateQuerySet:
        """Keep those with all the tags."""
        data: Any = self.data
        return rows.tagged(data.getlist("tag") if hasattr(data, "getlist") else [value])

    def matching(self, rows: CertificateQuerySet, name: str, value: str) -> CertificateQuerySet:
        """Keep those that contain the text."""
        return rows.matching(value)
