"""Uptime over all windows, for endpoints and heartbeats."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.urls import re_path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import errors
from apps.core.api.views import ApiView
from apps.monitors.api.endpoints.views import SparklinesView
from apps.monitors.models import Endpoint, Heartbeat
from apps.monitors.selectors.endpoints import SPARKLINES, WINDOWS, Tally, uptime_tallies
from apps.monitors.selectors.uptime import DAYS, heartbeat_tallies


class TallySerializer(serializers.Serializer[Any]):
    """Counted results of a window."""

    uptime_percent = serializers.FloatField(allow_null=True, help_text="null: no data")
    checks = serializers.IntegerField(help_text="what says something: good and down")
    down = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="we could not tell; counts on neither side")
    maintenance = serializers.IntegerField(help_text="made while a window was open; counts on neither side")


class EndpointUptimeSerializer(serializers.Serializer[Any]):
    """Uptime of an endpoint by window."""

    def get_fields(self) -> dict[str, Any]:
        """Return a field for each window; their names are no identifiers."""
        return {name: TallySerializer() for name in WINDOWS}


class HeartbeatUptimeSerializer(serializers.Serializer[Any]):
    """Uptime of a heartbeat by window: runs instead of checks, whole UTC days."""

    def get_fields(self) -> dict[str, Any]:
        """Return a field for each window; their names are no identifiers."""
        return {name: TallySerializer() for name in DAYS}


def _shown(tallies: dict[str, Tally]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "uptime_percent": tally.percent,
            "checks": tally.checks,
            "down": tally.down,
            "unknown": tally.unknown,
            "maintenance": tally.maintenance,
        }
        for name, tally in tallies.items()
    }


def _found(rows: Any, pk: str) -> Any:
    try:
        row = rows.filter(pk=pk).first()
    except (ValidationError, ValueError):
        row = None
    if row is None:
        raise errors.NotFound("There is no such monitor, or you may not see it.")
    return row


class EndpointUptimeView(ApiView):
    """Uptime of one endpoint."""

    codes: ClassVar[dict[str, str]] = {"get": "endpoints:view"}

    @extend_schema(summary="Uptime of an endpoint over all windows", responses=EndpointUptimeSerializer)
    def get(self, request: Request, id: str) -> Response:
        """Return {window: counts} for 1h, 24h, 7d, 30d, 90d and 1y."""
        return Response(_shown(uptime_tallies(_found(Endpoint.objects.visible_to(self.principal()), id).num)))


class HeartbeatUptimeView(ApiView):
    """Uptime of one heartbeat."""

    codes: ClassVar[dict[str, str]] = {"get": "heartbeats:view"}

    @extend_schema(summary="Uptime of a heartbeat over all windows", responses=HeartbeatUptimeSerializer)
    def get(self, request: Request, id: str) -> Response:
        """Return {window: counts} for today, 7d, 30d, 90d and 1y."""
        return Response(_shown(heartbeat_tallies(_found(Heartbeat.objects.visible_to(self.principal()), id))))


class EndpointSparklinesView(SparklinesView):
    """The sparklines beside the endpoints, for those who look for them there."""

    @extend_schema(
        operation_id="endpoints_sparklines",
        summary="Sparklines of all endpoints",
        parameters=[
            OpenApiParameter(
                "range", str, enum=list(SPARKLINES), description="mean values; the last 20 checks if absent"
            )
        ],
        responses={
            (200, "application/json"): {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
            }
        },
    )
    def get(self, request: Request) -> Response:
        """Return {endpoint_id: [latency in ms or null, oldest first]}."""
        return super().get(request)


urlpatterns = [
    re_path(r"^endpoints/sparklines/?$", EndpointSparklinesView.as_view(), name="endpoint-sparklines"),
    re_path(r"^endpoints/(?P<id>[^/]+)/uptime/?$", EndpointUptimeView.as_view(), name="endpoint-uptime"),
    re_path(r"^heartbeats/(?P<id>[^/]+)/uptime/?$", HeartbeatUptimeView.as_view(), name="heartbeat-uptime"),
]
