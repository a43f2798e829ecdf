"""Views of servers, their metrics and processes."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import connection
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.core.api.pagination import EnvelopePagination, decode_cursor, encode_cursor
from apps.core.api.parameters import period, whole_number
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.fleet import selectors, services
from apps.fleet.api.filters import ServerFilter
from apps.fleet.api.serializers import (
    MetricsSerializer,
    ProcessListSerializer,
    ProcessSerializer,
    PushResultSerializer,
    ServerHistorySerializer,
    ServerSerializer,
    ServerWriteSerializer,
)
from apps.fleet.api.shapes import as_csv, as_json, in_threads, point_body
from apps.fleet.models import Server
from apps.fleet.retention import BY_NAME
from apps.fleet.selectors.history import AUTO, MOST_POINTS

_AGENT = OpenApiParameter("agent_id", OpenApiTypes.STR, description="Slug or id of the server; default `local`.")
_RESOLUTION = OpenApiParameter(
    "resolution", enum=[AUTO, *BY_NAME], description="Width of a bucket; `auto` goes by the range."
)
_SERVER_ID = OpenApiParameter(
    "server_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Slug or id of the server."
)
_PAGE = [
    OpenApiParameter("limit", OpenApiTypes.INT, description=f"Most points, up to {MOST_POINTS}."),
    OpenApiParameter("cursor", OpenApiTypes.STR, description="Where the former page ended, from its `next`."),
]


def _range(first: str, last: str) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(
            first, OpenApiTypes.DATETIME, description="From this time on; default one hour before the end."
        ),
        OpenApiParameter(last, OpenApiTypes.DATETIME, description="Before this time; default now."),
    ]


@extend_schema_view(
    list=extend_schema(
        operation_id="servers_list", summary="List servers", description="A bare array; totals are in the headers."
    ),
    retrieve=extend_schema(operation_id="servers_get", summary="Get a server"),
    create=extend_schema(
        operation_id="servers_create",
        summary="Add a server",
        request=ServerWriteSerializer,
        responses={201: ServerSerializer},
        examples=[
            OpenApiExample(
                "A web server", value={"name": "web 1", "host": "10.0.0.5", "tags": ["web"]}, request_only=True
            )
        ],
    ),
    partial_update=extend_schema(
        operation_id="servers_update",
        summary="Change a server",
        request=ServerWriteSerializer(partial=True),
        responses=ServerSerializer,
    ),
    destroy=extend_schema(operation_id="servers_delete", summary="Remove a server", responses={204: None}),
)
class ServerViewSet(ApiViewSet):
    """Servers, by id or slug."""

    queryset = Server.objects.all()
    serializer_class = ServerSerializer
    filterset_class = ServerFilter
    page_size_default, page_size_most = 100, 1000
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "servers:view",
        "retrieve": "servers:view",
        "create": "servers:create",
        "partial_update": "servers:update",
        "destroy": "servers:delete",
    }

    def get_queryset(self) -> Any:
        """Return the servers the caller may see."""
        if getattr(self, "swagger_fake_view", False):
            return Server.objects.none()
        return selectors.server_list(self.principal())

    def envelope(self, rows: Any, paginator: EnvelopePagination) -> Any:
        """Return the bare array that the contract asks for."""
        return rows

    def get_serializer_context(self) -> dict[str, Any]:
        """Hand the tags of all rows to the serializer."""
        return {**super().get_serializer_context(), "tags": getattr(self, "_tags", None)}

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return the page's servers; their tags are read at once."""
        rows = super().paginate_queryset(queryset)
        self._tags = selectors.tags_of(rows or [])
        return rows

    def get_object(self) -> Server:
        """Return the server named in the path by id or slug."""
        return selectors.find_server(self.kwargs["id"], self.principal())

    @idempotent
    def create(self, request: Request) -> Response:
        """Add a server.

        Source: contract row POST /servers.
        """
        values = clean(ServerWriteSerializer, request.data)
        server = services.create_server(actor=self.principal(), **values)
        return with_etag(Response(self._body(server), status=201), server)

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a server; fields that are not given stay."""
        server = self.get_object()
        values = clean(ServerWriteSerializer, request.data, partial=True)
        changed = services.update_server(
            actor=self.principal(), server=server, changes=values, revision=expected_revision(request, server)
        )
        return with_etag(Response(self._body(changed)), changed)

    def destroy(self, request: Request, id: str) -> Response:
        """Remove a server."""
        server = self.get_object()
        expected_revision(request, server)
        services.delete_server(actor=self.principal(), server=server)
        return Response(status=204)

    def _body(self, server: Server) -> Any:
        return self.get_serializer(selectors.find_server(str(server.id), self.principal())).data


class MetricsView(ApiView):
    """A server's newest figures, and the way to push them."""

    codes: ClassVar[dict[str, str]] = {"get": "servers:view", "post": "samples:push"}

    @property
    def throttle_scope(self) -> str:
        """Return "none" for pushes: they are limited by bytes."""
        return "none" if self.request.method == "POST" else ""

    @extend_schema(
        operation_id="metrics_latest",
        summary="Newest figures of a server",
        parameters=[_SERVER_ID],
        responses=MetricsSerializer,
    )
    def get(self, request: Request, server_id: str) -> Response:
        """Return the newest figures.

        Raises:
            NotFound: no such server, or no sample yet (404).
        """
        return Response(selectors.latest_metrics(selectors.find_server(server_id, self.principal())))

    @extend_schema(
        operation_id="metrics_push",
        summary="Push samples",
        description=(
            "A sample or an array of at most 500, in the form of the snapshot that /stream sends or of "
            "GET /metrics/{server_id}; late ones too, within the time that raw samples are kept. "
            "A sample sent twice counts once."
        ),
        parameters=[_SERVER_ID],
        request={"application/json": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}},
        responses={202: PushResultSerializer},
        examples=[
            OpenApiExample(
                "Short form",
                value={
                    "timestamp": "2026-01-31T10:00:00Z",
                    "cpu_percent": 12.5,
                    "memory_percent": 40,
                    "disk_usage": [{"path": "/", "total": 1000, "used": 400, "free": 600}],
                    "network": [{"interface": "eth0", "bytes_sent": 1, "bytes_recv": 2}],
                },
                request_only=True,
            ),
            OpenApiExample("One taken", value={"accepted": 1, "refused": []}, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request, server_id: str) -> Response:
        """Store the samples of one push.

        Source: contract row POST /metrics/{server_id}.
        """
        principal = self.principal()
        size = int(request.META.get("CONTENT_LENGTH") or 0)
        outcome = services.accept_samples([services.Push(server_id, request.data, principal=principal, size=size)])[0]
        if outcome.error:
            raise outcome.error
        return Response(outcome.body(), status=202)


class _HistoryView(ApiView):
    codes: ClassVar[dict[str, str]] = {"get": "servers:view"}
    names = ("from", "to")

    def answer(self, request: Request, server: Server) -> Response:
        """Return a page of the server's figures over time."""
        start, end = period(request, default=timedelta(hours=1), names=self.names)
        limit = whole_number(request, "limit", default=MOST_POINTS, least=1, most=MOST_POINTS)
        cursor = request.query_params.get("cursor")
        after = decode_cursor(cursor) if cursor else None
        if after is not None and not isinstance(after, int):
            raise Invalid({"cursor": "is not a cursor from a former answer"}, where="query")
        page = selectors.history(
            server, start=start, end=end, resolution=_resolution(request), after=after, limit=limit
        )
        following = None
        if page.next_at is not None:
            # The range is fixed by then, so that the pages fit together.
            following = request.build_absolute_uri()
            for name, value in (
                (self.names[0], _stamp(start)),
                (self.names[1], _stamp(end)),
                ("resolution", page.resolution),
                ("cursor", encode_cursor(page.next_at)),
            ):
                following = replace_query_param(following, name, value)
        body = {
            "server_id": str(server.id),
            "agent_id": server.slug,
            self.names[0]: _stamp(start),
            self.names[1]: _stamp(end),
            "resolution": page.resolution,
            "data": [point_body(point) for point in page.points],
            "next": following,
        }
        return Response(body, headers={"Link": f'<{following}>; rel="next"'} if following else None)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.get_default_timezone()).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _resolution(request: Request, default: str = AUTO) -> str:
    name = request.query_params.get("resolution") or default
    if name != AUTO and name not in BY_NAME:
        raise Invalid({"resolution": f"must be one of {', '.join([AUTO, *BY_NAME])}"}, where="query")
    return name


class HistoryView(_HistoryView):
    """Figures over time, of this host or of a server."""

    @extend_schema(
        operation_id="history",
        summary="Figures over time",
        parameters=[_AGENT, *_range("from", "to"), _RESOLUTION, *_PAGE],
        responses={
            200: OpenApiResponse(
                OpenApiTypes.OBJECT, description="from, to, resolution, data: as /metrics/{server_id}/history."
            )
        },
    )
    def get(self, request: Request) -> Response:
        """Return the figures in the range; the last hour by the minute where nothing is asked for.

        Source: contract row GET /history.
        """
        return self.answer(request, selectors.find_server(request.query_params.get("agent_id"), self.principal()))


class ServerHistoryView(_HistoryView):
    """Figures over time, of a server."""

    names = ("start", "end")

    @extend_schema(
        operation_id="metrics_history",
        summary="Figures of a server over time",
        parameters=[_SERVER_ID, *_range("start", "end"), _RESOLUTION, *_PAGE],
        responses=ServerHistorySerializer,
    )
    def get(self, request: Request, server_id: str) -> Response:
        """Return the samples or buckets in the range.

        Source: contract row GET /metrics/{server_id}/history.
        """
        return self.answer(request, selectors.find_server(server_id, self.principal()))


class MetricsExportView(ApiView):
    """A server's figures as a file."""

    codes: ClassVar[dict[str, str]] = {"get": "metrics:export"}

    @extend_schema(
        operation_id="export_metrics",
        summary="Export metrics",
        parameters=[
            OpenApiParameter("format", enum=["json", "csv"], description="Default json."),
            _AGENT,
            *_range("from", "to"),
            _RESOLUTION,
        ],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream the figures in the range as a file; it goes into the audit trail.

        Source: contract row GET /export/metrics.
        """
        form = request.query_params.get("format") or "json"
        if form not in ("json", "csv"):
            raise Invalid({"format": "must be json or csv"}, where="query")
        server = selectors.find_server(request.query_params.get("agent_id"), self.principal())
        start, end = period(request, default=timedelta(hours=1))
        resolution = selectors.pick_resolution(
            _resolution(request), int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        )
        services.note_metrics_exported(
            actor=self.principal(), server=server, form=form, resolution=resolution, start=start, end=end
        )
        chunks = selectors.export_rows(server, start=start, end=end, resolution=resolution)
        head = {
            "server_id": str(server.id),
            "agent_id": server.slug,
            "from": _stamp(start),
            "to": _stamp(end),
            "resolution": resolution,
        }
        lines = as_csv(chunks) if form == "csv" else as_json(head, chunks)
        content_type = "text/csv; charset=utf-8" if form == "csv" else "application/json"
        body: Any = in_threads(lines) if hasattr(request._request, "scope") else lines
        response = StreamingHttpResponse(body, content_type=content_type)
        response["Content-Disposition"] = (
            f'attachment; filename="{server.slug}-{resolution}-{start:%Y%m%dT%H%M%SZ}.{form}"'
        )
        if not connection.in_atomic_block:
            connection.close()  # a long download must not keep a connection of the pool while the client reads
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Ignore what the client accepts, and `format`, which names the file's form here."""
        renderer = self.renderer_classes[0]()
        return renderer, renderer.media_type


class ProcessListView(ApiView):
    """The newest process table."""

    codes: ClassVar[dict[str, str]] = {"get": "processes:view"}

    @extend_schema(
        operation_id="processes_list",
        summary="List processes",
        parameters=[
            _AGENT,
            OpenApiParameter("sort", enum=list(selectors.processes.SORTS), description="Largest first; default cpu."),
            OpenApiParameter("search", OpenApiTypes.STR, description="Part of name, command line or user; or a pid."),
            OpenApiParameter("limit", OpenApiTypes.INT, description="Default 50, most 500."),
            OpenApiParameter("offset", OpenApiTypes.INT),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
        ],
        responses=ProcessListSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the newest table.

        Source: contract row GET /processes.
        """
        sort = request.query_params.get("sort") or "cpu"
        if sort not in selectors.processes.SORTS:
            raise Invalid({"sort": f"must be one of {', '.join(selectors.processes.SORTS)}"}, where="query")
        server = selectors.find_server(request.query_params.get("agent_id"), self.principal())
        table, at = selectors.process_table(server, sort=sort, search=request.query_params.get("search", ""))
        pages = EnvelopePagination()
        rows = pages.paginate_queryset(table, request, self)
        return Response(
            {
                "count": pages.count,
                "next": pages.next_link(),
                "previous": pages.previous_link(),
                "timestamp": at,
                "server_id": str(server.id),
                "agent_id": server.slug,
                "results": rows,
            },
            headers=pages.headers(),
        )


class ProcessView(ApiView):
    """One process."""

    codes: ClassVar[dict[str, str]] = {"get": "processes:view"}

    @extend_schema(
        operation_id="processes_get",
        summary="Get a process",
        parameters=[OpenApiParameter("pid", OpenApiTypes.INT, OpenApiParameter.PATH), _AGENT],
        responses=ProcessSerializer,
    )
    def get(self, request: Request, pid: str) -> Response:
        """Return the process.

        Raises:
            NotFound: no such server or process (404).
        """
        server = selectors.find_server(request.query_params.get("agent_id"), self.principal())
        if not pid.isdecimal() or len(pid) > 10:
            raise NotFound("There is no such process.")
        return Response(selectors.find_process(server, int(pid)))
