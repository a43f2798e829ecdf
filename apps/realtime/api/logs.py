"""The log as a stream."""

from typing import ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.core.api.views import ApiView
from apps.fleet.api.logs import LOG_FILTERS, log_query
from apps.realtime.api.views import EventStreamRenderer, last_event_id, stream_response
from apps.realtime.log_tail import follow_log


class LogStreamView(ApiView):
    """Log lines as they come."""

    codes: ClassVar[dict[str, str]] = {"get": "logs:view"}
    renderer_classes = [EventStreamRenderer, JSONRenderer]
    throttle_scope = "none"
    accepts_ticket = True

    @extend_schema(
        operation_id="logs_stream",
        summary="Follow the log",
        parameters=[
            *LOG_FILTERS,
            OpenApiParameter("ticket", OpenApiTypes.STR, description="From POST /auth/ticket, instead of a header."),
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="Id of a line: those kept after it come first, at most 1,000.",
            ),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR,
                description="`event: log`, data a line as in /logs, `id` its id; `event: missed`, data `count`: so "
                "many lines were passed over because they were not read in time.",
            )
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream the lines that match, from now on or after a line.

        Source: contract row GET /logs/stream.
        """
        query = log_query(request, self.principal())
        return stream_response(follow_log(self.principal(), query, after=last_event_id(request)))
