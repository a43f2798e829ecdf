"""Views of the alerts' API."""

from typing import Any, ClassVar, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import selectors, services
from apps.alerts.api.serializers import (
    AlertDetailSerializer,
    AlertSerializer,
    ConfigSerializer,
    NoteSerializer,
    ThresholdSerializer,
)
from apps.alerts.models import Alert, Threshold
from apps.alerts.states import LEVELS, STATUSES
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.parameters import moment
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.fleet import selectors as fleet

_ALERTS = inline_serializer("Alerts", {"alerts": AlertSerializer(many=True), "config": ConfigSerializer()})


@extend_schema_view(
    list=extend_schema(
        operation_id="alerts_list",
        summary="Alerts, newest first",
        parameters=[
            OpenApiParameter("status", OpenApiTypes.STR, enum=list(STATUSES)),
            OpenApiParameter("level", OpenApiTypes.STR, enum=list(LEVELS)),
            OpenApiParameter("type", OpenApiTypes.STR, description="`cpu`, `disk`, `availability`, `run` ..."),
            OpenApiParameter(
                "server_id", OpenApiTypes.STR, description="Id or slug of the server; `agent_id` is the same."
            ),
            OpenApiParameter("agent_id", OpenApiTypes.STR),
            OpenApiParameter("from", OpenApiTypes.DATETIME),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
        ],
        responses=_ALERTS,
    ),
    retrieve=extend_schema(
        operation_id="alerts_retrieve", summary="One alert with its evidence", responses=AlertDetailSerializer
    ),
)
class AlertViewSet(ApiViewSet):
    """Alerts: read, acknowledge, resolve."""

    queryset = Alert.objects.all()
    serializer_class = AlertSerializer
    lookup_field = "id"
    cursor_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "alerts:view",
        "active": "alerts:view",
        "retrieve": "alerts:view",
        "acknowledge": "alerts:acknowledge",
        "resolve": "alerts:resolve",
    }

    def envelope(self, rows: Any, pages: EnvelopePagination) -> dict[str, Any]:
        """Return the contract's envelope, with the page's figures beside it."""
        return {
            "alerts": rows,
            "config": selectors.config(),
            "count": pages.count,
            "next": pages.next_link(),
            "previous": pages.previous_link(),
        }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply the list's filters.

        Raises:
            Invalid: a filter of the wrong form (422). A server that does not exist has no alerts.
        """
        params = self.request.query_params
        for name, allowed in (("status", STATUSES), ("level", LEVELS)):
            if params.get(name) and params[name] not in allowed:
                raise Invalid({name: f"must be one of {', '.join(allowed)}"}, where="query")
        wanted = params.get("server_id") or params.get("agent_id") or ""
        server_id = ""
        if wanted:
            try:
                server_id = str(fleet.find_server(wanted, self.principal()).id)
            except NotFound:
                return Alert.objects.none()
        return selectors.alerts(
            self.principal(),
            status=params.get("status", ""),
            level=params.get("level", ""),
            kind=params.get("type", ""),
            server_id=server_id,
            since=moment(self.request, "from"),
            until=moment(self.request, "to"),
        )

    @extend_schema(operation_id="alerts_active", summary="Unresolved alerts", responses=_ALERTS)
    @action(detail=False, methods=["get"])
    def active(self, request: Request) -> Response:
        """Return a page of the unresolved alerts, acknowledged ones too."""
        rows = self.paginate_queryset(selectors.open_alerts(self.principal()))
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one alert with its evidence."""
        alert = self.get_object()
        return with_etag(Response(AlertDetailSerializer(alert).data), alert)

    @extend_schema(
        operation_id="alerts_acknowledge",
        summary="Acknowledge",
        request=NoteSerializer,
        responses=AlertDetailSerializer,
        examples=[OpenApiExample("With a note", value={"note": "Restarting the database."}, request_only=True)],
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, id: str) -> Response:
        """Take care of an alert; 409 once resolved."""
        note = clean(NoteSerializer, request.data)["note"]
        alert = services.acknowledge_alert(alert_id=self.get_object().id, note=note, actor=self.principal())
        return with_etag(Response(AlertDetailSerializer(alert).data), alert)

    @extend_schema(
        operation_id="alerts_resolve",
        summary="Resolve by hand",
        request=NoteSerializer,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, id: str) -> Response:
        """Resolve an alert; 409 once resolved."""
        note = clean(NoteSerializer, request.data)["note"]
        alert = services.resolve_alert(alert_id=self.get_object().id, note=note, actor=self.principal())
        return with_etag(Response(AlertDetailSerializer(alert).data), alert)


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
