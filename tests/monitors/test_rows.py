"""Rows of long lists are shown without the field classes' detours, and exactly as they would show them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.utils import timezone as clock
from rest_framework import serializers

from apps.core.api.rows import RowSerializer
from apps.monitors.api.endpoints.serializers import EndpointSerializer
from apps.monitors.models import Endpoint
from tests.factories.monitors import make_endpoint, record


@pytest.mark.django_db
@pytest.mark.parametrize("is_checked", [True, False])
def test_row_of_an_endpoint_is_what_its_fields_make_of_it(is_checked: bool) -> None:
    made = make_endpoint(name="Shop", tags=["prod", "blue"], headers={"X-Key": "abc"}, json_path="a.b", json_value=1)
    if is_checked:
        record(made, "up", latency_ms=12.5)
        record(made, "down")
    row = Endpoint.objects.with_state().get(pk=made.pk)
    serializer = EndpointSerializer(row, context={"now": clock.now(), "uptime_24h": {row.num: 99.5}})
    assert serializer.to_representation(row) == serializers.Serializer.to_representation(serializer, row)


class _Thing(RowSerializer):
    at = serializers.DateTimeField(source="place.at")
    day = serializers.DateTimeField(source="place.at", format="%Y-%m-%d")
    none = serializers.DateTimeField(source="place.none", allow_null=True)
    price = serializers.DecimalField(source="place.price", max_digits=5, decimal_places=2)
    hush = serializers.CharField(write_only=True)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_other_fields_do_their_own_work(zone: timezone) -> None:
    place = type("Place", (), {"at": datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=zone), "none": None, "price": 3})
    thing = type("Thing", (), {"place": place})
    shown = _Thing().to_representation(thing)
    assert shown == serializers.Serializer.to_representation(_Thing(), thing)
    assert shown["price"] == "3.00" and set(shown) == {"at", "day", "none", "price"}
