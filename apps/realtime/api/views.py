"""SSE endpoints."""

import json
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connection
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from apps.core.api.views import ApiView
from apps.core.errors import Invalid
from apps.core.events.catalogue import known_pattern
from apps.fleet import selectors as fleet
from apps.realtime.streams import follow


class EventStreamRenderer(BaseRenderer):
    """Lets a client that accepts only `text/event-stream` through content negotiation;
    refusals are JSON all the same.
    """

    media_type = "text/event-stream"
    format = "sse"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return a refusal as JSON."""
        return json.dumps(data, default=str).encode()


def stream_response(frames: Any) -> StreamingHttpResponse:
    """Return an SSE answer that no proxy buffers. The database connection of the request is given back first."""
    if not connection.in_atomic_block:
        connection.close()
    response = StreamingHttpResponse(frames, content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def last_event_id(request: Request) -> int | None:
    """Return the id after which the client wants to go on.

    Raises:
        Invalid: it is not a number (422).
    """
    text = request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id") or ""
    if not text:
        return None
    if not text.isdigit():
        raise Invalid({"Last-Event-ID": "must be the id of the last event you have"}, where="header")
    return int(text)


class EventStreamView(ApiView):
    """Every event of the catalogue as a stream."""

    codes: ClassVar[dict[str, str]] = {"get": "events:view"}
    renderer_classes = [EventStreamRenderer, JSONRenderer]
    throttle_scope = "none"
    accepts_ticket = True

    @extend_schema(
        operation_id="events_stream",
        summary="Follow every event",
        parameters=[
            OpenApiParameter("ticket", OpenApiTypes.STR, description="From POST /auth/ticket, instead of a header."),
            OpenApiParameter(
                "types",
                OpenApiTypes.STR,
                description="Names or patterns, comma-separated (`alert.*,endpoint.alert`). Default: all.",
            ),
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description="Resume after this event without a gap.",
            ),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, description="`id`, `event`, `data`; live events carry no id."
            )
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream the events that the caller may see.

        Source: contract row GET /containers/events.
        """
        patterns = {part.strip() for part in (request.query_params.get("types") or "*").split(",") if part.strip()}
        unknown = sorted(pattern for pattern in patterns if not known_pattern(pattern))
        if unknown:
            raise Invalid({"types": f"not in the catalogue: {', '.join(unknown)}"}, where="query")
        return stream_response(follow(self.principal(), patterns, last_event_id=last_event_id(request)))


class MetricsStreamView(ApiView):
    """The live snapshot of one server."""

    codes: ClassVar[dict[str, str]] = {"get": "servers:view"}
    renderer_classes = [EventStreamRenderer, JSONRenderer]
    throttle_scope = "none"
    accepts_ticket = True

    @extend_schema(
        operation_id="metrics_stream",
        summary="Follow a server's snapshots",
        parameters=[
            OpenApiParameter("agent_id", OpenApiTypes.STR, description="Slug or id of the server; default `local`."),
            OpenApiParameter("ticket", OpenApiTypes.STR, description="From POST /auth/ticket, instead of a header."),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, description="`event: metrics`, data the full snapshot."
            )
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream the server's snapshots, the newest one first of all.

        Raises:
            NotFound: no such server, or not the caller's to see (404).

        Source: contract row GET /stream.
        """
        server = fleet.find_server(request.query_params.get("agent_id") or "local", self.principal())
        sent: dict[str, Any] = {"at": None}

        def newer() -> bytes:
            close_old_connections()
            try:
                snapshot = fleet.latest_snapshot(server)
            finally:
                close_old_connections()
            if not snapshot or snapshot.get("timestamp") == sent["at"]:
                return b""
            sent["at"] = snapshot.get("timestamp")
            return f"event: metrics\ndata: {json.dumps(snapshot, separators=(',', ':'), default=str)}\n\n".encode()

        # The table is asked each second: it is the truth with and without Redis, and one row by its key.
        return stream_response(
            follow(
                self.principal(), set(), first=newer(), idle=sync_to_async(newer, thread_sensitive=False), idle_s=1.0
            )
        )
