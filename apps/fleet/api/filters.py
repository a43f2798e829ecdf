"""Filters of the list of servers."""

from typing import Any

import django_filters
from django.db.models import Q

from apps.fleet.models import Server
from apps.fleet.querysets import ServerQuerySet
from apps.fleet.states import Health, Presence


class ServerFilter(django_filters.FilterSet):
    """By status, health, words and tags; `tag=a&tag=b` means both."""

    status = django_filters.ChoiceFilter(field_name="state__status", choices=Presence.choices)
    health_status = django_filters.ChoiceFilter(field_name="state__health_status", choices=Health.choices)
    search = django_filters.CharFilter(method="filter_search", label="Part of name, slug or host.")
    tag = django_filters.CharFilter(method="filter_tag", label="A tag; repeat it to demand several.")

    class Meta:
        model = Server
        fields: list[str] = []

    def filter_search(self, rows: ServerQuerySet, name: str, value: str) -> ServerQuerySet:
        """Return the servers whose name, slug or host contains `value`."""
        return rows.filter(Q(name__icontains=value) | Q(slug__icontains=value) | Q(host__icontains=value))

    def filter_tag(self, rows: ServerQuerySet, name: str, value: Any) -> ServerQuerySet:
        """Return the servers that have all tags named."""
        for word in self.data.getlist("tag"):
            rows = rows.filter(tags__name=word)
        return rows
