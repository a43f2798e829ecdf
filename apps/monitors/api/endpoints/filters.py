"""Filters of the list of endpoint monitors."""

from typing import Any

from django_filters import rest_framework as filters

from apps.monitors.checks import check_types
from apps.monitors.models import Endpoint
from apps.monitors.querysets.endpoints import EndpointQuerySet
from apps.monitors.states.endpoints import STATUSES


class EndpointFilter(filters.FilterSet):
    """Every filter narrows; `tag` may be given several times and then means all of them."""

    status = filters.ChoiceFilter(choices=[(one, one) for one in STATUSES], method="with_status")
    type = filters.ChoiceFilter(field_name="endpoint_type", choices=[(one, one) for one in check_types])
    enabled = filters.BooleanFilter()
    tag = filters.CharFilter(method="tagged", help_text="repeat it: all of them")
    search = filters.CharFilter(method="matching", help_text="in name, target and description")
    ordering = filters.OrderingFilter(
        fields=(
            ("name", "name"),
            ("created_at", "created_at"),
            ("state__status", "status"),
            ("state__since", "since"),
            ("state__last_check_at", "last_check_at"),
            ("state__last_response_time_ms", "last_response_time_ms"),
        )
    )

    class Meta:
        model = Endpoint
        fields: list[str] = []

    def with_status(self, rows: EndpointQuerySet, name: str, value: str) -> EndpointQuerySet:
        """Keep those in the status."""
        return rows.with_status(value)

    def tagged(self, rows: EndpointQuerySet, name: str, value: str) -> EndpointQuerySet:
        """Keep those with all the tags."""
        data: Any = self.data
        return rows.tagged(data.getlist("tag") if hasattr(data, "getlist") else [value])

    def matching(self, rows: EndpointQuerySet, name: str, value: str) -> EndpointQuerySet:
        """Keep those that contain the text."""
        return rows.matching(value)
