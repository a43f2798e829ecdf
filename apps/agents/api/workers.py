"""Views of workers: host agents as those see them who hand out work."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors, services
from apps.agents.api.serializers import (
    ApproveWorkerSerializer,
    HeartbeatSerializer,
    RegisteredWorkerSerializer,
    RegisterWorkerSerializer,
    WorkerSerializer,
    WorkerStandingSerializer,
    WorkerTaskSerializer,
    WorkerTotalsSerializer,
)
from apps.agents.models import HostAgent
from apps.agents.services import Figures
from apps.core.api.views import ApiView, ApiViewSet, clean, idempotent

_REF = OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Slug or id of its server.")


class RegisterView(ApiView):
    """Where workers register."""

    codes: ClassVar[dict[str, str]] = {"post": "agents:manage"}
    secret_answers = frozenset({"post"})

    @extend_schema(
        operation_id="workers_register",
        summary="Register a worker",
        description="201: it is new and waits for approval. 200: the name is known, and the worker was changed.",
        request=RegisterWorkerSerializer,
        responses={200: RegisteredWorkerSerializer, 201: RegisteredWorkerSerializer},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Register a worker; its token is shown once."""
        values = clean(RegisterWorkerSerializer, request.data)
        agent, token = services.register_worker(actor=self.principal(), name=values.pop("name"), values=values)
        row = HostAgent.objects.select_related("server", "state").get(pk=agent.pk)
        data = RegisteredWorkerSerializer(row, context={"token": token}).data
        return Response(data, status=201 if token else 200, headers={"Cache-Control": "no-store"})


class HeartbeatView(ApiView):
    """Where workers say that they are there."""

    codes: ClassVar[dict[str, str]] = {"post": "workers:report"}

    @extend_schema(
        operation_id="workers_heartbeat",
        summary="Say that a worker is there",
        description="For workers without an agent's connection; a key bound to the server may call it.",
        parameters=[_REF],
        request=HeartbeatSerializer,
        responses=WorkerStandingSerializer,
    )
    def post(self, request: Request, id: str) -> Response:
        """Note the load of a worker."""
        values = clean(HeartbeatSerializer, request.data)
        agent = selectors.find_reporting_worker(id, self.principal())
        figures = Figures(*(values.get(f"{part}_usage_percent") for part in ("cpu", "memory", "disk")))
        services.note_heartbeat(agent=agent, figures=figures)
        row = selectors.find_reporting_worker(id, self.principal())
        body = {"status": selectors.status_of(row), "is_approved": row.is_approved}
        return Response(WorkerStandingSerializer(body).data)


class WorkerTasksView(ApiViewSet):
    """Where workers ask for tasks."""

    serializer_class = WorkerTaskSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {"list": "workers:report"}
    queryset = HostAgent.objects.none()

    @extend_schema(
        operation_id="workers_tasks",
        summary="List the tasks of a worker's agents",
        description="Tasks belong to LLM agents; while there are none the list is empty.",
        parameters=[_REF],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the worker's pending tasks."""
        selectors.find_reporting_worker(kwargs["id"], self.principal())
        rows = self.paginate_queryset(HostAgent.objects.none())
        return self.get_paginated_response(list(rows or []))


class OverviewView(ApiView):
    """All workers in figures."""

    codes: ClassVar[dict[str, str]] = {"get": "agents:view"}

    @extend_schema(operation_id="workers_overview", summary="All workers in figures", responses=WorkerTotalsSerializer)
    def get(self, request: Request) -> Response:
        """Return the totals."""
        return Response(selectors.worker_totals())


class WorkerViewSet(ApiViewSet):
    """Workers, for who administers them."""

    queryset = HostAgent.objects.all()
    serializer_class = WorkerSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {"list": "agents:approve", "approve": "agents:approve"}

    def get_queryset(self) -> Any:
        """Return the workers the caller may see."""
        if getattr(self, "swagger_fake_view", False):
            return HostAgent.objects.none()
        return selectors.agent_list(self.principal())

    @extend_schema(operation_id="admin_workers_list", summary="List workers with their load")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the workers, by name."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="admin_workers_approve",
        summary="Approve a worker, or take that back",
        description="A host that waits is let in, one that has yet to ask is let in when it does. "
        "`false` refuses a waiting host and revokes an approved one.",
        parameters=[_REF],
        request=ApproveWorkerSerializer,
        responses=WorkerSerializer,
    )
    def approve(self, request: Request, id: str) -> Response:
        """Approve a worker."""
        values = clean(ApproveWorkerSerializer, request.data)
        agent = selectors.find_agent(id, self.principal())
        services.approve_worker(actor=self.principal(), agent=agent, **values)
        return Response(WorkerSerializer(selectors.find_agent(id, self.principal())).data)
