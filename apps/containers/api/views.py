"""Views of containers."""

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.containers import selectors, services
from apps.containers.api.serializers import (
    ContainerActionSerializer,
    ContainerListSerializer,
    ContainerLogsSerializer,
    StopSerializer,
)
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.parameters import flag, moment, whole_number
from apps.core.api.views import ApiView, clean
from apps.fleet.selectors import find_server

_SERVER = OpenApiParameter(
    "server_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Slug or id of the server."
)
_CONTAINER = OpenApiParameter(
    "container_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Id of the container, or its name."
)
_AWAY = OpenApiResponse(
    description="The host agent is not connected or does not answer, or the container engine is away."
)
_OURS = "Watchkeeper or its host agent runs in it"
_NONE = OpenApiResponse(description="There is no such server or container.")


class ContainerListView(ApiView):
    """The containers of a server."""

    codes: ClassVar[dict[str, str]] = {"get": "containers:view"}

    @extend_schema(
        operation_id="containers_of_server",
        summary="List a server's containers",
        description="From the newest sample of the server's host agent, which asks the engine every 15 s.",
        parameters=[
            _SERVER,
            OpenApiParameter("all", OpenApiTypes.BOOL, description="Also those that do not run; default false."),
            OpenApiParameter("limit", OpenApiTypes.INT, description="Default 50, most 500."),
            OpenApiParameter("offset", OpenApiTypes.INT),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
        ],
        responses=ContainerListSerializer,
    )
    def get(self, request: Request, server_id: str) -> Response:
        """Return a page of the containers, those that run first.

        Source: contract row GET /docker/{server_id}/containers.
        """
        server = find_server(server_id, self.principal())
        listed = selectors.containers_of(server)
        wants_all = flag(request, "all")
        pages = EnvelopePagination()
        rows = pages.paginate_queryset(
            [one for one in listed.rows if wants_all or one["state"] in selectors.ALIVE], request, self
        )
        return Response(
            {
                "count": pages.count,
                "next": pages.next_link(),
                "previous": pages.previous_link(),
                "available": listed.is_available,
                "reason": listed.reason,
                "total": listed.total,
                "timestamp": listed.at,
                "server_id": str(server.id),
                "agent_id": server.slug,
                "results": rows,
            },
            headers=pages.headers(),
        )


class _ActionView(ApiView):
    """An action of a container."""

    idempotent_actions: ClassVar[frozenset[str]] = frozenset()
    #: What became of the container.
    word = ""
    act: ClassVar[Callable[..., dict[str, Any]]]

    def answer(self, server_id: str, container_id: str, **values: Any) -> Response:
        """Do it and return what was done."""
        server = find_server(server_id, self.principal())
        found = type(self).act(actor=self.principal(), server=server, container=container_id, **values)
        sentence = f"{found['name']} was {self.word}."
        return Response({"status": "success", "message": sentence, "container": found})


def _described(action: str, summary: str, conflict: str, body: Any) -> Any:
    return extend_schema(
        operation_id=f"containers_{action}",
        summary=summary,
        description="Through the server's host agent. The answer comes when it is done.",
        parameters=[_SERVER, _CONTAINER],
        request=body,
        responses={
            200: ContainerActionSerializer,
            404: _NONE,
            409: OpenApiResponse(description=f"{conflict}, or too many servers are under change."),
            503: _AWAY,
        },
    )


class ContainerStartView(_ActionView):
    """Starting a container."""

    codes: ClassVar[dict[str, str]] = {"post": "containers:start"}
    word, act = "started", staticmethod(services.start_container)

    @_described("start", "Start a container", "It runs already, the engine refused", None)
    def post(self, request: Request, server_id: str, container_id: str) -> Response:
        """Start it.

        Source: contract row POST /docker/{server_id}/containers/{container_id}/start.
        """
        return self.answer(server_id, container_id)


class ContainerStopView(_ActionView):
    """Stopping a container."""

    codes: ClassVar[dict[str, str]] = {"post": "containers:stop"}
    word, act = "stopped", staticmethod(services.stop_container)

    @_described("stop", "Stop a container", f"It does not run, {_OURS}, the engine refused", StopSerializer)
    def post(self, request: Request, server_id: str, container_id: str) -> Response:
        """Stop it.

        Source: contract row POST /docker/{server_id}/containers/{container_id}/stop.
        """
        return self.answer(server_id, container_id, timeout_s=_timeout(request))


class ContainerRestartView(_ActionView):
    """Restarting a container."""

    codes: ClassVar[dict[str, str]] = {"post": "containers:restart"}
    word, act = "restarted", staticmethod(services.restart_container)

    @_described("restart", "Restart a container", f"{_OURS}, the engine refused", StopSerializer)
    def post(self, request: Request, server_id: str, container_id: str) -> Response:
        """Restart it.

        Source: contract row POST /docker/{server_id}/containers/{container_id}/restart.
        """
        return self.answer(server_id, container_id, timeout_s=_timeout(request))


class ContainerLogsView(ApiView):
    """What a container wrote."""

    codes: ClassVar[dict[str, str]] = {"get": "containers:view"}

    @extend_schema(
        operation_id="containers_logs",
        summary="Last lines of a container",
        description="Asked of the engine through the server's host agent; at most 512 KiB, the newest ones. "
        "Values that look like secrets are masked, as in every log.",
        parameters=[
            _SERVER,
            _CONTAINER,
            OpenApiParameter("tail", OpenApiTypes.INT, description="How many lines; default 100, most 5000."),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="Only lines since then, by the host's clock."),
            OpenApiParameter("timestamps", OpenApiTypes.BOOL, description="Begin each line with its time."),
        ],
        responses={200: ContainerLogsSerializer, 404: _NONE, 503: _AWAY},
    )
    def get(self, request: Request, server_id: str, container_id: str) -> Response:
        """Return the lines.

        Source: contract row GET /docker/{server_id}/containers/{container_id}/logs.
        """
        found = selectors.container_logs(
            server=find_server(server_id, self.principal()),
            container=container_id,
            tail=whole_number(request, "tail", default=selectors.TAIL, least=1, most=selectors.TAIL_MOST),
            since=moment(request, "since"),
            timestamps=flag(request, "timestamps"),
        )
        return Response({**found, "note": selectors.CUT_NOTE if found["is_cut"] else ""})


def _timeout(request: Request) -> int:
    """Return the time to stop, from the body or the query."""
    given = request.query_params.get("timeout")
    data = request.data if request.data or given is None else {"timeout": given}
    return int(clean(StopSerializer, data)["timeout"])
