"""Views of alerts."""

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import selectors, services
from apps.alerts.api.serializers import AlertDetailSerializer, AlertSerializer, ConfigSerializer, NoteSerializer
from apps.alerts.api.serializers.escalation import AcknowledgeSerializer
from apps.alerts.models import Alert
from apps.alerts.states import LEVELS, STATUSES
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.parameters import moment
from apps.core.api.views import ApiViewSet, clean, with_etag
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
        request=AcknowledgeSerializer,
        responses=AlertDetailSerializer,
        examples=[OpenApiExample("With a note", value={"note": "Restarting the database."}, request_only=True)],
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, id: str) -> Response:
        """Take care of an alert; 409 once resolved."""
        given = clean(AcknowledgeSerializer, request.data)
        alert = services.acknowledge_alert(
            alert_id=self.get_object().id,
            note=given["note"],
            until=timezone.now() + timedelta(seconds=given["for_s"]) if given["for_s"] else None,
            actor=self.principal(),
        )
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
