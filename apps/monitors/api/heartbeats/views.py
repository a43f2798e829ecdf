"""Views of heartbeats: their configuration, their state, their logs."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.parameters import whole_number
from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.monitors.api.heartbeats.serializers import (
    HeartbeatChangeSerializer,
    HeartbeatDaySerializer,
    HeartbeatDetailSerializer,
    HeartbeatSerializer,
    HeartbeatWriteSerializer,
    PingSerializer,
    RunSerializer,
)
from apps.monitors.models import Heartbeat, Ping, Run
from apps.monitors.selectors.heartbeats import daily_uptime, outputs_of
from apps.monitors.services import heartbeats as services
from apps.monitors.states.heartbeats import STATUSES

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_DAYS = OpenApiParameter("days", OpenApiTypes.INT, description="How many days, today included; 90.")
_EXAMPLES = [
    OpenApiExample(
        "A nightly backup",
        value={
            "name": "backup",
            "cron": "0 2 * * *",
            "timezone": "Europe/Berlin",
            "grace_seconds": "30m",
            "tags": ["db"],
        },
        request_only=True,
    ),
    OpenApiExample("Every five minutes", value={"name": "queue worker", "interval_seconds": 300}, request_only=True),
]


@extend_schema_view(
    list=extend_schema(
        operation_id="heartbeats_list",
        summary="Heartbeats by name",
        parameters=[
            OpenApiParameter("status", OpenApiTypes.STR, enum=list(STATUSES)),
            OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="Give it twice for both."),
            OpenApiParameter("search", OpenApiTypes.STR, description="In the name and the description."),
        ],
    ),
    retrieve=extend_schema(
        operation_id="heartbeats_retrieve",
        summary="One heartbeat with its next runs and snippets",
        parameters=[_ID],
        responses=HeartbeatDetailSerializer,
    ),
)
class HeartbeatViewSet(ApiViewSet):
    """Heartbeats: add, change, pause, resume, remove."""

    queryset = Heartbeat.objects.all()
    serializer_class = HeartbeatSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "heartbeats:view",
        "create": "heartbeats:create",
        "retrieve": "heartbeats:view",
        "partial_update": "heartbeats:update",
        "destroy": "heartbeats:delete",
        "pause": "heartbeats:update",
        "resume": "heartbeats:update",
        "uptime_daily": "heartbeats:view",
    }

    def get_queryset(self) -> Any:
        """Return what the caller may see, states and tags loaded along."""
        return super().get_queryset().with_state()

    def get_serializer_class(self) -> Any:
        """Return the long form for one heartbeat."""
        return HeartbeatDetailSerializer if self.action == "retrieve" else HeartbeatSerializer

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply the list's filters.

        Raises:
            Invalid: an unknown status (422).
        """
        params = self.request.query_params
        status = params.get("status", "")
        if status:
            if status not in STATUSES:
                raise Invalid({"status": f"must be one of {', '.join(STATUSES)}"}, where="query")
            queryset = queryset.with_status(status)
        if params.get("search"):
            queryset = queryset.matching(params["search"])
        return queryset.tagged([tag for tag in params.getlist("tag") if tag])

    @extend_schema(
        operation_id="heartbeats_create",
        summary="Add a heartbeat",
        request=HeartbeatWriteSerializer,
        responses={201: HeartbeatDetailSerializer},
        examples=_EXAMPLES,
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a heartbeat. It waits for nothing until its first ping."""
        values = clean(HeartbeatWriteSerializer, request.data)
        heartbeat = services.create_heartbeat(
            actor=self.principal(),
            cron=values.pop("cron", None) or "",
            on_calendar=values.pop("on_calendar", None) or "",
            timezone_name=values.pop("timezone", "UTC"),
            **values,
        )
        return with_etag(Response(HeartbeatDetailSerializer(heartbeat).data, status=201), heartbeat)

    @extend_schema(
        operation_id="heartbeats_update",
        summary="Change a heartbeat; what is absent stays",
        parameters=[_ID],
        request=HeartbeatChangeSerializer,
        responses=HeartbeatDetailSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change a heartbeat; a new schedule counts from the last ping on."""
        heartbeat = self.get_object()
        heartbeat = services.update_heartbeat(
            heartbeat_id=heartbeat.id,
            actor=self.principal(),
            changes=clean(HeartbeatChangeSerializer, request.data),
            expected_revision=expected_revision(request, heartbeat),
        )
        return self._shown(heartbeat)

    @extend_schema(
        operation_id="heartbeats_destroy", summary="Remove a heartbeat", parameters=[_ID], responses={204: None}
    )
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a heartbeat; its address answers 404 at once."""
        heartbeat = self.get_object()
        services.delete_heartbeat(
            heartbeat_id=heartbeat.id, actor=self.principal(), expected_revision=expected_revision(request, heartbeat)
        )
        return Response(status=204)

    @extend_schema(
        operation_id="heartbeats_pause",
        summary="Stop waiting",
        parameters=[_ID],
        request=None,
        responses=HeartbeatDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Stop waiting for its pings: no alert, whatever passes. 409 where it is paused already."""
        return self._shown(services.pause_heartbeat(heartbeat_id=self.get_object().id, actor=self.principal()))

    @extend_schema(
        operation_id="heartbeats_resume",
        summary="Wait again",
        parameters=[_ID],
        request=None,
        responses=HeartbeatDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Wait for its pings again, with a fresh deadline. 409 where it is not paused."""
        return self._shown(services.resume_heartbeat(heartbeat_id=self.get_object().id, actor=self.principal()))

    @extend_schema(
        operation_id="heartbeats_uptime_daily",
        summary="One row a UTC day, oldest first",
        parameters=[_ID, _DAYS],
        responses=HeartbeatDaySerializer(many=True),
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="uptime/daily", pagination_class=None)
    def uptime_daily(self, request: Request, id: str) -> Response:
        """Return what each day brought; a day without any run has no figure."""
        days = whole_number(request, "days", default=90, least=1, most=730)
        return Response(daily_uptime(self.get_object(), days))

    def _shown(self, heartbeat: Heartbeat) -> Response:
        return with_etag(Response(HeartbeatDetailSerializer(heartbeat).data), heartbeat)


class _LogViewSet(ApiViewSet):
    """A log of one heartbeat, newest first, by page or by cursor."""

    cursor_field = "pk"
    codes: ClassVar[dict[str, str]] = {"list": "heartbeats:view"}

    def get_queryset(self) -> Any:
        """Return the heartbeat's rows.

        Raises:
            NotFound: no such heartbeat among those the caller may see (404).
        """
        rows: Any = vars(type(self))["queryset"]
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        try:
            num = (
                Heartbeat.objects.all()
                .visible_to(self.principal())
                .values_list("num", flat=True)
                .get(id=self.kwargs["id"])
            )
        except Exception as error:
            if type(error).__name__ in ("DoesNotExist", "ValidationError"):
                raise NotFound("There is no such heartbeat, or you may not see it.") from error
            raise
        return rows.filter(num=num).order_by("-pk")

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return the rows of a page.

        Raises:
            Invalid: a cursor that is none of ours (422).
        """
        try:
            return super().paginate_queryset(queryset)
        except (TypeError, ValueError) as error:
            if "cursor" not in self.request.query_params:
                raise
            raise Invalid({"cursor": "is not a cursor from a former answer"}, where="query") from error


@extend_schema_view(
    list=extend_schema(
        operation_id="heartbeats_pings", summary="The log of pings, newest first", parameters=[_ID], filters=False
    )
)
class PingLogViewSet(_LogViewSet):
    """The log of pings; a flood is thinned, `ping_count` counts all."""

    queryset = Ping.objects.all()
    serializer_class = PingSerializer


@extend_schema_view(
    list=extend_schema(
        operation_id="heartbeats_executions", summary="Runs, newest first", parameters=[_ID], filters=False
    )
)
class RunLogViewSet(_LogViewSet):
    """Runs, paired from their start and their end."""

    queryset = Run.objects.all()
    serializer_class = RunSerializer

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of runs with what they printed."""
        rows = self.paginate_queryset(self.get_queryset())
        serializer = RunSerializer(rows, many=True, context={"outputs": outputs_of(rows)})
        return self.get_paginated_response(serializer.data)
