"""Signals to processes."""

from typing import ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, clean
from apps.core.errors import NotFound
from apps.fleet import selectors, services
from apps.fleet.api.serializers import SignalledProcessSerializer, SignalSerializer


class ProcessSignalView(ApiView):
    """A signal to a process."""

    codes: ClassVar[dict[str, str]] = {"post": "processes:signal"}
    idempotent_actions: ClassVar[frozenset[str]] = frozenset()

    @extend_schema(
        operation_id="processes_signal",
        summary="Send a signal to a process",
        description="Over the server's host agent, SSH connection, or locally where that is allowed. The start time "
        "tells the process from another one that has its number now. Process 1, threads of the kernel and the "
        "platform's own processes are never signalled.",
        parameters=[OpenApiParameter("pid", OpenApiTypes.INT, OpenApiParameter.PATH)],
        request=SignalSerializer,
        responses={
            200: SignalledProcessSerializer,
            409: OpenApiResponse(description="Another process has the number now, or no way leads to the server."),
        },
        examples=[OpenApiExample("Ask it to end", value={"signal": 15, "agent_id": "web-1"}, request_only=True)],
    )
    def post(self, request: Request, pid: str) -> Response:
        """Send the signal and return the process afterwards.

        Raises:
            NotFound: no such server or process (404).

        Source: contract row POST /processes/{pid}/signal.
        """
        values = clean(SignalSerializer, request.data)
        asked = values.get("agent_id") or request.query_params.get("agent_id")
        server = selectors.find_server(asked, self.principal())
        if not pid.isdecimal() or len(pid) > 10:
            raise NotFound("There is no such process.")
        return Response(
            services.signal_process(
                actor=self.principal(),
                server=server,
                pid=int(pid),
                number=values["signal"],
                start_time=values.get("start_time"),
            )
        )
