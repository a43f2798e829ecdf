"""Views of commands on many machines."""

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
from apps.fleet.api.command_shapes import CommandSummarySerializer, CommandWriteSerializer, command_of
from apps.fleet.selectors.batches import batch_body, batch_list
from apps.fleet.selectors.commands import run_body, run_list
from apps.fleet.services.batches import HOSTS_MOST, PARALLEL, PARALLEL_MOST, RETRIES, find_batch
from apps.fleet.states import BatchStatus, RunStatus

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the batch.")
_PAGE = [
    OpenApiParameter("page", OpenApiTypes.INT),
    OpenApiParameter("page_size", OpenApiTypes.INT),
    OpenApiParameter("limit", OpenApiTypes.INT),
    OpenApiParameter("offset", OpenApiTypes.INT),
]


class BatchWriteSerializer(CommandWriteSerializer):
    """A command for many machines. Say on which: `servers`, or `tags`, or `all`."""

    servers = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=HOSTS_MOST,
        help_text="Slugs or ids, in the order in which they get their turn.",
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="Servers that have all of these tags."
    )
    all = serializers.BooleanField(required=False, help_text="Every server.")
    parallel = serializers.CharField(
        required=False,
        max_length=8,
        help_text=f'Machines at a time: a number, or a share such as "10%"; default {PARALLEL}, most {PARALLEL_MOST}.',
    )
    canary = serializers.CharField(
        required=False,
        max_length=8,
        help_text="Machines that go first, a number or a share; the rest follows only where it succeeded on them.",
    )
    stop_after_failures = serializers.CharField(
        required=False,
        max_length=8,
        help_text="After so many failures, a number or a share of all, no other machine is begun; default never.",
    )
    dry_run = serializers.BooleanField(required=False, help_text="Answer which machines it would be, and run nothing.")


class BatchSerializer(serializers.Serializer[Any]):
    """A command on many machines."""

    batch_id = serializers.UUIDField()
    command = serializers.CharField()
    status = serializers.ChoiceField(choices=BatchStatus.choices)
    asked = serializers.CharField(help_text="On which machines, in words.")
    hosts = serializers.IntegerField()
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Failed, timed out or lost.")
    skipped = serializers.IntegerField(help_text="Had no turn, or were cancelled.")
    parallel = serializers.IntegerField()
    canary = serializers.IntegerField()
    stop_after_failures = serializers.IntegerField(help_text="0: never.")
    stop_reason = serializers.CharField()
    waits_for = serializers.CharField(help_text="The limit of change for which machines wait now.")
    sudo = serializers.BooleanField()
    env_names = serializers.ListField(child=serializers.CharField())
    env_secrets = serializers.DictField(child=serializers.UUIDField(), help_text="Variable to id of its secret.")
    timeout_s = serializers.FloatField(help_text="Of each machine.")
    retry_of = serializers.UUIDField(allow_null=True)
    user = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BatchDetailSerializer(BatchSerializer):
    """A command on many machines, with a page of its runs."""

    count = serializers.IntegerField(help_text="Of the runs that match.")
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    runs = CommandSummarySerializer(many=True)


class BatchTargetSerializer(serializers.Serializer[Any]):
    """A machine that is meant."""

    server_id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    executor = serializers.CharField(help_text="How it is reached; empty where it is not.")
    problem = serializers.CharField(help_text="Why it would be skipped.")
    is_canary = serializers.BooleanField()


class BatchPreviewSerializer(serializers.Serializer[Any]):
    """What a batch would do."""

    count = serializers.IntegerField()
    reachable = serializers.IntegerField()
    asked = serializers.CharField()
    parallel = serializers.IntegerField()
    canary = serializers.IntegerField()
    stop_after_failures = serializers.IntegerField()
    targets = BatchTargetSerializer(many=True)


class BatchListSerializer(serializers.Serializer[Any]):
    """A page of batches."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = BatchSerializer(many=True)


class BatchRetrySerializer(serializers.Serializer[Any]):
    """Which machines run again."""

    scope = serializers.ChoiceField(
        choices=[(name, name) for name in RETRIES],
        default="failed",
        help_text="failed: failed or timed out; unsuccessful: lost (it may have done its work there), skipped and "
        "cancelled ones too; all: every one.",
    )


def preview_body(targets: Any, asked: str, plan: Any) -> dict[str, Any]:
    """Return what a batch would do, as the API shows it."""
    reached = [one for one in targets if not one.problem]
    canaries = {one.server.pk for one in reached[: plan.canary]}
    return {
        "count": len(targets),
        "reachable": len(reached),
        "asked": asked,
        "parallel": plan.parallel,
        "canary": plan.canary,
        "stop_after_failures": plan.stop_after,
        "targets": [
            {
                "server_id": str(one.server.pk),
                "slug": one.server.slug,
                "name": one.server.name,
                "executor": one.executor,
                "problem": one.problem,
                "is_canary": one.server.pk in canaries,
            }
            for one in targets
        ],
    }


def create_from(request: Request, principal: Any) -> Response:
    """Start a batch, or say what it would do."""
    values = clean(BatchWriteSerializer, request.data)
    command = command_of(request.data, principal)
    targets, asked = services.find_targets(
        actor=principal,
        servers=values.get("servers", ()),
        tags=values.get("tags", ()),
        everybody=values.get("all", False),
    )
    plan = services.plan_for(
        len(targets),
        parallel=values.get("parallel"),
        canary=values.get("canary"),
        stop_after_failures=values.get("stop_after_failures"),
    )
    if values.get("dry_run"):
        return Response(preview_body(targets, asked, plan))
    batch = services.create_batch(actor=principal, command=command, targets=targets, asked=asked, plan=plan)
    return Response(batch_body(batch), status=202)


#: How `POST /commands` is described.
RUN_ON_MANY = extend_schema(
    operation_id="command_batches_create",
    summary="Run a command on many servers",
    description="Answers at once; the batch goes on by itself, also after the end of any of the platform's processes. "
    "What it writes comes as `command.output`, how far it is as `command_batch.progress` over `/ws`.",
    request=BatchWriteSerializer,
    responses={
        200: OpenApiResponse(BatchPreviewSerializer, description="With `dry_run`: nothing was run."),
        202: BatchSerializer,
    },
    examples=[
        OpenApiExample(
            "One first, then a tenth at a time",
            value={
                "command": "systemctl restart app", "sudo": True, "tags": ["web"], "canary": "1", "parallel": "10%",
                "stop_after_failures": "2",
            },
            request_only=True,
        )
    ],
)  # fmt: skip


class BatchListView(ApiView):
    """History of batches."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view"}

    @extend_schema(
        operation_id="command_batches_list",
        summary="Commands that were run on many servers",
        parameters=[
            OpenApiParameter("status", enum=list(BatchStatus.values)),
            OpenApiParameter("user", OpenApiTypes.STR, description="Name of who ran it."),
            *_PAGE,
        ],
        responses=BatchListSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the batches, newest first."""
        rows, asked = batch_list(self.principal()), request.query_params
        if asked.get("status"):
            if asked["status"] not in BatchStatus.values:
                raise Invalid({"status": f"must be one of {', '.join(BatchStatus.values)}"}, where="query")
            rows = rows.filter(status=asked["status"])
        if asked.get("user"):
            rows = rows.filter(user=asked["user"])
        pages = EnvelopePagination()
        found = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response([batch_body(row) for row in found])


class BatchView(ApiView):
    """One batch."""

    codes: ClassVar[dict[str, str]] = {"get": "commands:view"}

    @extend_schema(
        operation_id="command_batches_get",
        summary="A command on many servers, with its runs",
        parameters=[_ID, OpenApiParameter("run_status", enum=list(RunStatus.values)), *_PAGE],
        responses=BatchDetailSerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return a batch and a page of its runs, in the order of their turns."""
        batch = find_batch(_batch_id(id), self.principal())
        rows = run_list(self.principal()).filter(batch=batch).order_by("position")
        status = request.query_params.get("run_status")
        if status:
            if status not in RunStatus.values:
                raise Invalid({"run_status": f"must be one of {', '.join(RunStatus.values)}"}, where="query")
            rows = rows.filter(status=status)
        pages = EnvelopePagination()
        found = pages.paginate_queryset(rows, request, self)
        return Response(
            {
                **batch_body(batch),
                "count": pages.count,
                "next": pages.next_link(),
                "previous": pages.previous_link(),
                "runs": [run_body(row, with_output=False) for row in found],
            },
            headers=pages.headers(),
        )


class BatchCancelView(ApiView):
    """The end of a batch."""

    codes: ClassVar[dict[str, str]] = {"post": "commands:cancel"}
    idempotent_actions: ClassVar[frozenset[str]] = frozenset()

    @extend_schema(
        operation_id="command_batches_cancel",
        summary="Cancel a command on many servers",
        parameters=[_ID],
        request=None,
        responses=BatchSerializer,
    )
    def post(self, request: Request, id: str) -> Response:
        """Ask for its end: what waits is not begun, what runs is ended within seconds."""
        return Response(batch_body(services.cancel_batch(actor=self.principal(), batch_id=_batch_id(id))))


class BatchRetryView(ApiView):
    """A batch once more."""

    codes: ClassVar[dict[str, str]] = {"post": "commands:run"}
    idempotent_actions: ClassVar[frozenset[str]] = frozenset()

    @extend_schema(
        operation_id="command_batches_retry",
        summary="Run a command on many servers again",
        parameters=[_ID],
        request=BatchRetrySerializer,
        responses={
            202: BatchSerializer,
            409: OpenApiResponse(description="It runs still, no machine is left, or its input is not kept any more."),
        },
    )
    def post(self, request: Request, id: str) -> Response:
        """Start a new batch on the machines where it failed, or on all."""
        scope = clean(BatchRetrySerializer, request.data)["scope"]
        batch = services.retry_batch(actor=self.principal(), batch_id=_batch_id(id), scope=scope)
        return Response(batch_body(batch), status=202)


def _batch_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such batch.") from None
