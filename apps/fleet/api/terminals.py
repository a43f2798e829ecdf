"""Views of terminal sessions. The terminal itself is a socket."""

from typing import Any, ClassVar
from uuid import UUID

from django.db import connection
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiView
from apps.core.errors import Invalid, NotFound
from apps.fleet.api.shapes import in_threads
from apps.fleet.querysets import by_ref
from apps.fleet.selectors.terminals import find_terminal, recording_of, terminal_body, terminal_list
from apps.fleet.services.terminals import end_terminal, note_replay
from apps.fleet.states import TerminalStatus

CAST = "application/x-asciicast"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the session.")


class TerminalSessionSerializer(serializers.Serializer[Any]):
    """Somebody's terminal on a server."""

    id = serializers.UUIDField()
    server_id = serializers.UUIDField(allow_null=True)
    ssh_connection_id = serializers.UUIDField(allow_null=True)
    target = serializers.CharField(help_text="The server, as it was called then.")
    executor = serializers.CharField(help_text="The way there: ssh, local, or an agent.")
    user = serializers.CharField()
    address = serializers.CharField(help_text="Where the person sat.")
    user_agent = serializers.CharField()
    status = serializers.ChoiceField(choices=TerminalStatus.choices)
    reason = serializers.CharField(help_text="Why it ended, in a sentence.")
    exit_code = serializers.IntegerField(allow_null=True)
    signal = serializers.CharField(help_text="E.g. HUP.")
    has_input = serializers.BooleanField(help_text="Whether the recording holds what was typed too.")
    input_bytes = serializers.IntegerField()
    output_bytes = serializers.IntegerField()
    recording_bytes = serializers.IntegerField(help_text="As it is stored.")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)
    end_asked_by = serializers.CharField(help_text="The admin who ended it.")


class TerminalListSerializer(serializers.Serializer[Any]):
    """A page of sessions."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = TerminalSessionSerializer(many=True)


class TerminalListView(ApiView):
    """Sessions, newest first."""

    codes: ClassVar[dict[str, str]] = {"get": "terminals:view"}

    @extend_schema(
        operation_id="terminal_sessions_list",
        summary="Terminal sessions",
        description="One's own; everybody's with `terminals:view_all`.",
        parameters=[
            OpenApiParameter("server_id", OpenApiTypes.STR, description="Slug or id of a server."),
            OpenApiParameter("user", OpenApiTypes.STR, description="Name of who had it open."),
            OpenApiParameter("status", enum=list(TerminalStatus.values)),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
            OpenApiParameter("limit", OpenApiTypes.INT),
            OpenApiParameter("offset", OpenApiTypes.INT),
        ],
        responses=TerminalListSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the sessions."""
        rows, asked = terminal_list(self.principal()), request.query_params
        if asked.get("server_id"):
            rows = rows.filter(by_ref(asked["server_id"], "server__"))
        if asked.get("user"):
            rows = rows.filter(user=asked["user"])
        if asked.get("status"):
            if asked["status"] not in TerminalStatus.values:
                raise Invalid({"status": f"must be one of {', '.join(TerminalStatus.values)}"}, where="query")
            rows = rows.filter(status=asked["status"])
        pages = EnvelopePagination()
        found = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response([terminal_body(row) for row in found])


class TerminalView(ApiView):
    """One session."""

    codes: ClassVar[dict[str, str]] = {"get": "terminals:view"}

    @extend_schema(
        operation_id="terminal_sessions_get",
        summary="A terminal session",
        parameters=[_ID],
        responses=TerminalSessionSerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return a session."""
        return Response(terminal_body(find_terminal(session_id(id), self.principal())))


class TerminalRecordingView(ApiView):
    """The recording of a session."""

    codes: ClassVar[dict[str, str]] = {"get": "terminals:view"}

    @extend_schema(
        operation_id="terminal_sessions_recording",
        summary="The recording of a terminal session",
        description="An asciicast v2, which `asciinema play` plays too. Asking for it is audited.",
        parameters=[_ID],
        responses={(200, CAST): OpenApiResponse(OpenApiTypes.STR, description="Of an open session what is there yet.")},
    )
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """Stream the recording."""
        row = find_terminal(session_id(id), self.principal())
        pieces = recording_of(row)
        note_replay(actor=self.principal(), row=row)
        body: Any = in_threads(pieces) if hasattr(request._request, "scope") else pieces
        response = StreamingHttpResponse(body, content_type=CAST)
        response["Content-Disposition"] = f'attachment; filename="terminal-{row.pk}.cast"'
        response["X-Content-Type-Options"] = "nosniff"
        if not connection.in_atomic_block:
            connection.close()  # a long download must not keep a connection of the pool while the client reads
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Ignore what the client accepts: there is one form."""
        renderer = self.renderer_classes[0]()
        return renderer, renderer.media_type


class TerminalEndView(ApiView):
    """The end of a session."""

    codes: ClassVar[dict[str, str]] = {"post": "terminals:end"}

    @extend_schema(
        operation_id="terminal_sessions_end",
        summary="End a terminal session that is open",
        parameters=[_ID],
        request=None,
        responses=TerminalSessionSerializer,
    )
    def post(self, request: Request, id: str) -> Response:
        """Ask for its end; within seconds its status says kicked."""
        return Response(terminal_body(end_terminal(actor=self.principal(), session_id=session_id(id))))


def session_id(text: str) -> UUID:
    """Return the id in a path.

    Raises:
        NotFound: it is none (404).
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such terminal session.") from None
