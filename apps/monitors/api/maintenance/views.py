"""Views of maintenance windows."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import errors
from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.monitors.api.maintenance.serializers import MaintenanceSerializer, MaintenanceWriteSerializer
from apps.monitors.models import MaintenanceWindow
from apps.monitors.querysets.maintenance import STATES
from apps.monitors.services import maintenance_windows as services

_EXAMPLES = [
    OpenApiExample(
        "Once",
        value={
            "title": "Database upgrade",
            "kind": "once",
            "starts_at": "2027-03-01T20:00:00Z",
            "ends_at": "2027-03-01T22:00:00Z",
            "tags": ["database"],
        },
        request_only=True,
    ),
    OpenApiExample(
        "Every Sunday night",
        value={
            "title": "Patch night",
            "kind": "weekly",
            "weekdays": ["sunday"],
            "start_time": "02:00",
            "duration_s": "3h",
            "timezone": "Europe/Berlin",
            "all_targets": True,
        },
        request_only=True,
    ),
]


@extend_schema_view(
    list=extend_schema(
        summary="List maintenance windows",
        parameters=[OpenApiParameter("state", str, enum=list(STATES))],
    ),
    retrieve=extend_schema(summary="Show a maintenance window with its next occurrences"),
)
class MaintenanceViewSet(ApiViewSet):
    """Maintenance windows."""

    queryset = MaintenanceWindow.objects.order_by("-id")
    serializer_class = MaintenanceSerializer
    filter_backends = ()
    lookup_field = "pk"
    lookup_url_kwarg = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "maintenance:view",
        "retrieve": "maintenance:view",
        "create": "maintenance:create",
        "partial_update": "maintenance:update",
        "destroy": "maintenance:delete",
        "end": "maintenance:update",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `state`."""
        state = self.request.query_params.get("state")
        if not state:
            return queryset
        if state not in STATES:
            raise errors.Invalid({"state": f"must be one of {', '.join(STATES)}"}, where="query")
        return queryset.in_state(state)

    @extend_schema(
        summary="Add a maintenance window",
        request=MaintenanceWriteSerializer,
        responses={201: MaintenanceSerializer},
        examples=_EXAMPLES,
    )
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Add a window; it counts from now on, results that were recorded stay as they are."""
        values = {"title": "", **clean(MaintenanceWriteSerializer, request.data)}
        return self._shown(services.create_window(actor=self.principal(), values=values), status=201)

    @extend_schema(
        summary="Change a maintenance window", request=MaintenanceWriteSerializer, responses=MaintenanceSerializer
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        window = self.get_object()
        values = clean(MaintenanceWriteSerializer, request.data)
        return self._shown(
            services.update_window(
                window_id=window.pk,
                actor=self.principal(),
                values=values,
                expected_revision=expected_revision(request, window),
            )
        )

    @extend_schema(summary="Remove a maintenance window", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove a window; what was recorded while it was open stays out of the uptime."""
        window = self.get_object()
        expected_revision(request, window)
        services.delete_window(window_id=window.pk, actor=self.principal())
        return Response(status=204)

    @extend_schema(summary="End a maintenance window now", request=None, responses=MaintenanceSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """End the occurrence that is open; 409 where none is. A recurring window opens again at its next time."""
        return self._shown(services.end_window(window_id=self.get_object().pk, actor=self.principal()))

    def _shown(self, window: MaintenanceWindow, status: int = 200) -> Response:
        return with_etag(Response(MaintenanceSerializer(window).data, status=status), window)
