"""Views of commands."""

from typing import ClassVar
from uuid import UUID

from django.db import connection
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiView, idempotent
from apps.core.errors import Invalid, NotFound
from apps.fleet import services
from apps.fleet.api.batches import RUN_ON_MANY, create_from
from apps.fleet.api.command_shapes import (
    CommandListSerializer,
    CommandRunSerializer,
    CommandWriteSerializer,
    command_of,
)
from apps.fleet.api.shapes import in_threads
from apps.fleet.models import CommandRun
from apps.fleet.querysets import by_ref
from apps.fleet.selectors import find_server
from apps.fleet.selectors.commands import find_run, output_chunks, run_body, run_list
from apps.fleet.states import RunStatus


class CommandListView(ApiView):
    """History of commands (GET); one on many machines (POST)."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view", "post": "commands:run"}

    @RUN_ON_MANY
    @idempotent
    def post(self, request: Request) -> Response:
        """Start a command on many machines; with `dry_run`, say on which it would be."""
        return create_from(request, self.principal())

    @extend_schema(
        operation_id="commands_list",
        summary="Commands that were run",
        parameters=[
            OpenApiParameter("server_id", OpenApiTypes.STR, description="Slug or id of a server."),
            OpenApiParameter("ssh_connection_id", OpenApiTypes.UUID),
            OpenApiParameter("batch_id", OpenApiTypes.UUID),
            OpenApiParameter("user", OpenApiTypes.STR, description="Name of who ran it."),
            OpenApiParameter("status", enum=list(RunStatus.values)),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
            OpenApiParameter("limit", OpenApiTypes.INT),
            OpenApiParameter("offset", OpenApiTypes.INT),
        ],
        responses=CommandListSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the runs, newest first."""
        rows, asked = run_list(self.principal()), request.query_params
        if asked.get("server_id"):
            rows = rows.filter(by_ref(asked["server_id"], "server__"))
        if asked.get("ssh_connection_id"):
            rows = rows.filter(ssh_connection_id=_uuid(asked["ssh_connection_id"], "ssh_connection_id"))
        if asked.get("batch_id"):
            rows = rows.filter(batch_id=_uuid(asked["batch_id"], "batch_id"))
        if asked.get("user"):
            rows = rows.filter(user=asked["user"])
        if asked.get("status"):
            if asked["status"] not in RunStatus.values:
                raise Invalid({"status": f"must be one of {', '.join(RunStatus.values)}"}, where="query")
            rows = rows.filter(status=asked["status"])
        pages = EnvelopePagination()
        found = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response([run_body(row, with_output=False) for row in found])


class CommandView(ApiView):
    """One run (GET, by its id); a new one (POST, by the server)."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view", "post": "commands:run"}
    idempotent_actions: ClassVar[frozenset[str]] = frozenset()  # a run is no row that could be made twice

    @extend_schema(
        operation_id="commands_get",
        summary="A command that was run, with its output",
        parameters=[OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Id of the run.")],
        responses=CommandRunSerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return a run; what it has written so far while it runs."""
        return Response(run_body(find_run(_run_id(id), self.principal())))

    @extend_schema(
        operation_id="commands_run",
        summary="Run a command on a server",
        description="Waits for the end. It runs over the server's SSH connection, or locally on the platform's own "
        "host where that is allowed.",
        parameters=[
            OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Slug or id of the server.")
        ],
        request=CommandWriteSerializer,
        responses={
            200: CommandRunSerializer,
            409: OpenApiResponse(description="No way leads there, or the host key is not pinned or has changed."),
            502: OpenApiResponse(description="The machine was not reached; `details` hold the run."),
            504: OpenApiResponse(description="Its time is over; `details` hold the run with the output so far."),
        },
        examples=[OpenApiExample("How long it is up", value={"command": "uptime", "timeout": 10}, request_only=True)],
    )
    def post(self, request: Request, id: str) -> Response:
        """Run a command and wait for its end.

        Source: contract row POST /commands/{server_id}.
        """
        server, actor = find_server(id, self.principal()), self.principal()
        command = command_of(request.data, actor)
        executor = services.executor_for_server(server=server, actor=actor)
        return Response(
            run_body(services.run_command(actor=actor, executor=executor, command=command, server=server))
        )  # fmt: skip


class CommandCancelView(ApiView):
    """The end of a run."""

    codes: ClassVar[dict[str, str]] = {"post": "commands:cancel"}

    @extend_schema(
        operation_id="commands_cancel",
        summary="Cancel a command that runs",
        request=None,
        responses=CommandRunSerializer,
    )
    def post(self, request: Request, id: str) -> Response:
        """Ask for its end; within seconds its status says cancelled."""
        return Response(run_body(services.cancel_run(actor=self.principal(), run_id=_run_id(id))))


class CommandOutputView(ApiView):
    """All that is kept of a run's output."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view"}

    @extend_schema(
        operation_id="commands_output",
        summary="Download the output of a command",
        description="As it came, byte for byte, where there is more than the run itself holds or it is no text.",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """Send the output; of a run that goes on, what came so far."""
        return output_response(find_run(_run_id(id), self.principal()))


def output_response(row: CommandRun) -> StreamingHttpResponse:
    """Return a run's output as a file, sent in pieces.

    Raises:
        Conflict: it lies in the files of another machine (409).
    """
    size, chunks = output_chunks(row)
    kind = "application/octet-stream" if row.is_binary else "text/plain; charset=utf-8"
    # Unlike a plain iterator, which ASGI would read to its end before it sends anything.
    response = StreamingHttpResponse(in_threads(chunks), content_type=kind)
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = f'attachment; filename="command-{row.pk}.{"bin" if row.is_binary else "txt"}"'
    if not connection.in_atomic_block:
        connection.close()  # a long download must not keep a connection of the pool while the client reads
    return response


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such command.") from None


def _uuid(text: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid({name: "is no id"}, where="query") from None
