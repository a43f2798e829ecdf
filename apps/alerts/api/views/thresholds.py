"""Views of thresholds."""

from typing import Any, ClassVar, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import selectors, services
from apps.alerts.api.serializers import ConfigSerializer, ThresholdSerializer
from apps.alerts.models import Threshold
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.fleet import selectors as fleet


class AlertConfigView(ApiView):
    """The six global limits."""

    codes: ClassVar[dict[str, str]] = {"post": "alerts:configure"}

    @extend_schema(
        operation_id="alerts_config",
        summary="Set the global limits",
        request=ConfigSerializer,
        responses=ConfigSerializer,
        examples=[OpenApiExample("CPU", value={"cpu": {"warning": 70, "critical": 90}}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Set warning and critical of cpu, memory and disk; all of it or nothing.

        Raises:
            Invalid: warning is not under critical, an unknown metric (422).
        """
        services.change_config(values=cast(dict[str, Any], request.data), actor=self.principal())
        return Response(selectors.config())


@extend_schema_view(
    list=extend_schema(
        operation_id="thresholds_list",
        summary="Thresholds",
        parameters=[
            OpenApiParameter(
                "server_id", OpenApiTypes.STR, description="Only this server's own; `none`: only the global ones."
            )
        ],
    ),
    retrieve=extend_schema(operation_id="thresholds_retrieve", summary="One threshold"),
)
class ThresholdViewSet(ApiViewSet):
    """Thresholds: full control."""

    queryset = Threshold.objects.select_related("server")
    serializer_class = ThresholdSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "thresholds:view",
        "retrieve": "thresholds:view",
        "create": "thresholds:create",
        "partial_update": "thresholds:update",
        "destroy": "thresholds:delete",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `server_id`."""
        wanted = self.request.query_params.get("server_id")
        if not wanted:
            return queryset
        if wanted == "none":
            return queryset.filter(server__isnull=True)
        return queryset.filter(server=fleet.find_server(wanted, self.principal()))

    def _values(self, request: Request, *, partial: bool) -> dict[str, Any]:
        values = clean(ThresholdSerializer, request.data, partial=partial)
        if "server_id" in values:
            wanted = values.pop("server_id")
            try:
                values["server"] = fleet.find_server(wanted, self.principal()) if wanted else None
            except NotFound as error:
                raise Invalid({"server_id": "there is no such server"}) from error
        return values

    @extend_schema(
        operation_id="thresholds_create",
        summary="Add a threshold",
        request=ThresholdSerializer,
        responses={201: ThresholdSerializer},
        examples=[
            OpenApiExample(
                "CPU of one server",
                value={
                    "server_id": "local",
                    "metric_type": "cpu",
                    "threshold_value": 90,
                    "comparison": "gt",
                    "for": "5m",
                    "level": "critical",
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a threshold; 409 where one stands for this server, metric and level."""
        threshold = services.create_threshold(values=self._values(request, partial=False), actor=self.principal())
        return with_etag(Response(ThresholdSerializer(threshold).data, status=201), threshold)

    @extend_schema(
        operation_id="thresholds_update",
        summary="Change a threshold",
        request=ThresholdSerializer,
        responses=ThresholdSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        threshold = self.get_object()
        changed = services.update_threshold(
            threshold_id=threshold.id,
            values=self._values(request, partial=True),
            expected_revision=expected_revision(request, threshold),
            actor=self.principal(),
        )
        return with_etag(Response(ThresholdSerializer(changed).data), changed)

    @extend_schema(operation_id="thresholds_delete", summary="Remove a threshold", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a threshold."""
        services.delete_threshold(threshold_id=self.get_object().id, actor=self.principal())
        return Response(status=204)
