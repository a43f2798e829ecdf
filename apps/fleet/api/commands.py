"""Views of commands."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiView, clean
from apps.core.errors import Invalid, NotFound
from apps.fleet import services
from apps.fleet.commands import Command
from apps.fleet.querysets import by_ref
from apps.fleet.selectors import find_server
from apps.fleet.selectors.commands import find_run, run_body, run_list
from apps.fleet.states import RunStatus


class CommandWriteSerializer(serializers.Serializer[Any]):
    """A command to run."""

    command = serializers.CharField(
        trim_whitespace=False, help_text="Handed to the machine's shell exactly as it is; at most 64 KiB."
    )
    timeout = serializers.FloatField(required=False, help_text="Seconds, default 60, most 3600.")
    stdin = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="At most 1 MiB; not kept."
    )
    env = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False,
        help_text="Variables; they reach the command and stand in no list of processes. Their values are not kept. "
        "Over SSH this needs a POSIX shell on the machine.",
    )
    sudo = serializers.BooleanField(
        required=False, help_text="Run it as root through sudo, over SSH; takes neither stdin nor env."
    )


class CommandSummarySerializer(serializers.Serializer[Any]):
    """A command that was run."""

    command_id = serializers.UUIDField()
    server_id = serializers.UUIDField(allow_null=True)
    ssh_connection_id = serializers.UUIDField(allow_null=True)
    target = serializers.CharField()
    executor = serializers.ChoiceField(choices=[("ssh", "ssh"), ("local", "local")])
    command = serializers.CharField()
    status = serializers.ChoiceField(choices=RunStatus.choices)
    exit_code = serializers.IntegerField(allow_null=True, help_text="Null while it runs, and where a signal ended it.")
    signal = serializers.CharField(help_text="E.g. KILL.")
    error = serializers.CharField(help_text="Why it could not be run, or how it ended is not known.")
    output_bytes = serializers.IntegerField(help_text="Of all output, kept or not.")
    is_binary = serializers.BooleanField()
    sudo = serializers.BooleanField()
    env_names = serializers.ListField(child=serializers.CharField())
    timeout_s = serializers.FloatField()
    user = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)


class CommandRunSerializer(CommandSummarySerializer):
    """A command that was run, with its output."""

    output = serializers.CharField(help_text="Both streams as one; the first MiB.")
    is_cut = serializers.BooleanField(help_text="Whether there was more than is kept.")


class CommandListSerializer(serializers.Serializer[Any]):
    """A page of runs."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = CommandSummarySerializer(many=True)


def command_of(data: Any) -> Command:
    """Return the command of a body.

    Raises:
        Invalid: which part is wrong (422).
    """
    values = clean(CommandWriteSerializer, data)
    return services.cleaned_command(
        text=values["command"],
        timeout_s=values.get("timeout"),
        stdin=values.get("stdin", ""),
        env=values.get("env"),
        sudo=values.get("sudo", False),
    )


class CommandListView(ApiView):
    """History of commands."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view"}

    @extend_schema(
        operation_id="commands_list",
        summary="Commands that were run",
        parameters=[
            OpenApiParameter("server_id", OpenApiTypes.STR, description="Slug or id of a server."),
            OpenApiParameter("ssh_connection_id", OpenApiTypes.UUID),
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
        command = command_of(request.data)
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
