"""The public stream of status pages."""

from typing import ClassVar

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import address_of
from apps.core.api.exceptions import body_of
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView
from apps.core.errors import NotFound
from apps.realtime.api.views import EventStreamRenderer, stream_response
from apps.realtime.status_stream import fan
from apps.statuspage.boards import store
from apps.statuspage.hot import NOTHING, host_of

RETRY_AFTER_S = 30


class StatusStreamView(ApiView):
    """What changes on a status page."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = []
    renderer_classes = [EventStreamRenderer, JSONRenderer]

    @extend_schema(
        operation_id="status_events",
        summary="Follow a status page",
        parameters=[OpenApiParameter("page", OpenApiTypes.STR, description="Its name; else as GET /status.")],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR,
                description="component_changed, global_changed, incident_created, incident_updated, "
                "incident_resolved, maintenance_started, maintenance_ended; public names alone.",
            ),
            503: OpenApiResponse(OpenApiTypes.OBJECT, description="All places are taken; see Retry-After."),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Stream what changes from now on.

        Raises:
            NotFound: there is no such page (404).

        Source: contract row GET /status/events.
        """
        host = host_of(request.META.get("HTTP_HOST", ""))
        board = store.current().find(request.query_params.get("page"), host)
        if board is None or not board.may_read(address_of(request)):
            raise NotFound(NOTHING)
        visitor = fan.seat(board.slug)
        if visitor is None:
            text = "All places are taken; the page itself and /status.json answer as ever."
            body, headers = body_of(text, "unavailable"), {"Retry-After": str(RETRY_AFTER_S)}
            refusal = Response(body, status=503, headers=headers, content_type="application/json")
            refusal._has_been_logged = True  # type: ignore[attr-defined]  # a crowd must not fill the log
            return refusal
        return stream_response(visitor)
