"""Views of host agents and of the hosts that wait to be let in."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors, services
from apps.agents.api.serializers import (
    AgentChangeSerializer,
    AgentListSerializer,
    AgentTokenSerializer,
    ApproveSerializer,
    HostAgentSerializer,
    NewAgentAnswerSerializer,
    NewAgentSerializer,
    ReasonSerializer,
    WaitingHostSerializer,
)
from apps.agents.models import EnrolmentRequest, HostAgent
from apps.agents.states import KINDS
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound

_REF = OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Slug or id of its server.")
_REQUEST = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Of the waiting host.")


class AgentViewSet(ApiViewSet):
    """Host agents, by slug or id of their server."""

    queryset = HostAgent.objects.all()
    serializer_class = HostAgentSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "agents:view",
        "retrieve": "agents:view",
        "create": "agents:manage",
        "partial_update": "agents:manage",
        "destroy": "agents:manage",
        "token": "agents:manage",
        "revoke": "agents:revoke",
    }
    secret_answers = frozenset({"create", "token"})

    def get_queryset(self) -> Any:
        """Return the agents the caller may see."""
        if getattr(self, "swagger_fake_view", False):
            return HostAgent.objects.none()
        return selectors.agent_list(self.principal())

    def get_object(self) -> HostAgent:
        """Return the agent named in the path."""
        return selectors.find_agent(self.kwargs["id"], self.principal())

    def envelope(self, rows: Any, pages: EnvelopePagination) -> dict[str, Any]:
        """Return the contract's envelope, with the page's figures beside it."""
        return {
            "agents": rows,
            "count": pages.count,
            "next": pages.next_link(),
            "previous": pages.previous_link(),
        }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply the list's filters.

        Raises:
            Invalid: a filter of the wrong form (422).
        """
        params = self.request.query_params
        for name, allowed in (("kind", KINDS), ("status_filter", selectors.STATUSES)):
            if params.get(name) and params[name] not in allowed:
                raise Invalid({name: f"must be one of {', '.join(allowed)}"}, where="query")
        if params.get("kind") == "llm" or params.get("role"):
            return queryset.none()  # only LLM agents have roles
        return selectors.matching(
            queryset,
            status=params.get("status_filter", ""),
            search=params.get("search", "").strip(),
            tags=tuple(params.getlist("tag")),
        )

    @extend_schema(
        operation_id="agents_list",
        summary="List agents",
        parameters=[
            OpenApiParameter("kind", enum=KINDS),
            OpenApiParameter("status_filter", enum=selectors.STATUSES),
            OpenApiParameter("role", OpenApiTypes.STR, description="Of LLM agents."),
            OpenApiParameter("search", OpenApiTypes.STR, description="Part of name, slug or host name."),
            OpenApiParameter("tag", OpenApiTypes.STR, description="Of the server; repeat it to demand several."),
        ],
        responses=AgentListSerializer,
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the agents, by name."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="agents_get", summary="Get an agent", parameters=[_REF])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one agent with its ETag."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="agents_create",
        summary="Add a host agent by hand",
        description="The host then enrols with `enrolment_token`, and somebody approves its fingerprint.",
        request=NewAgentSerializer,
        responses={201: NewAgentAnswerSerializer},
        examples=[OpenApiExample("A web server", value={"id": "web-1", "name": "web 1"}, request_only=True)],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a host agent; the token is shown once."""
        values = clean(NewAgentSerializer, request.data)
        agent, token = services.create_host_agent(
            actor=self.principal(),
            name=values.get("name", ""),
            slug=values.get("id", ""),
            tags=values.get("tags", ()),
        )
        row = selectors.find_agent(str(agent.server_id), self.principal())
        data = NewAgentAnswerSerializer(row, context={"token": token}).data
        return with_etag(Response(data, status=201, headers={"Cache-Control": "no-store"}), row)

    @extend_schema(
        operation_id="agents_update",
        summary="Change a host agent",
        parameters=[_REF],
        request=AgentChangeSerializer,
        responses=HostAgentSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        row = self.get_object()
        services.update_host_agent(
            actor=self.principal(),
            agent=row,
            changes=clean(AgentChangeSerializer, request.data),
            revision=expected_revision(request, row),
        )
        row = selectors.find_agent(str(row.server_id), self.principal())
        return with_etag(Response(HostAgentSerializer(row).data), row)

    @extend_schema(
        operation_id="agents_delete", summary="Remove a host agent", parameters=[_REF], responses={204: None}
    )
    def destroy(self, request: Request, id: str) -> Response:
        """Remove an agent: its connection is cut; its server and what it measured stay."""
        row = self.get_object()
        services.delete_host_agent(actor=self.principal(), agent=row, revision=expected_revision(request, row))
        return Response(status=204)

    @extend_schema(
        operation_id="agents_token",
        summary="Make a token that enrols this agent's host anew",
        parameters=[_REF],
        request=None,
        responses={201: AgentTokenSerializer},
    )
    def token(self, request: Request, id: str) -> Response:
        """Return a token, shown once; earlier ones of this agent count no more."""
        row = self.get_object()
        token = services.make_agent_token(actor=self.principal(), agent=row)
        body = {"agent_id": row.slug, "enrolment_token": token}
        return Response(AgentTokenSerializer(body).data, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="agents_revoke",
        summary="Revoke an agent",
        description="Its certificates count no more and its connection is cut at once.",
        parameters=[_REF],
        request=ReasonSerializer,
        responses=HostAgentSerializer,
    )
    def revoke(self, request: Request, id: str) -> Response:
        """Trust an agent no more."""
        row = self.get_object()
        reason = clean(ReasonSerializer, request.data).get("reason", "")
        services.revoke_agent(actor=self.principal(), agent=row, reason=reason)
        row = selectors.find_agent(str(row.server_id), self.principal())
        return with_etag(Response(HostAgentSerializer(row).data), row)


class WaitingHostViewSet(ApiViewSet):
    """Hosts that wait to be let in."""

    queryset = EnrolmentRequest.objects.all()
    serializer_class = WaitingHostSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "agents:manage",
        "approve": "agents:approve",
        "reject": "agents:approve",
    }

    def get_queryset(self) -> Any:
        """Return the waiting hosts the caller may see."""
        if getattr(self, "swagger_fake_view", False):
            return EnrolmentRequest.objects.none()
        return selectors.waiting_requests(self.principal())

    def filter_queryset_for_object(self) -> Any:
        """Return all requests: one that is decided already answers 409, not 404."""
        return EnrolmentRequest.objects.visible_to(self.principal())

    @extend_schema(operation_id="agents_pending", summary="List hosts that wait to be let in")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the waiting hosts, the newest first."""
        rows = self.paginate_queryset(self.get_queryset())
        assert rows is not None
        context = {"namesakes": selectors.namesakes(rows)}
        shown: Any = WaitingHostSerializer(rows, many=True, context=context)  # type: ignore[arg-type]
        return self.get_paginated_response(shown.data)

    @extend_schema(
        operation_id="agents_pending_approve",
        summary="Let a host in",
        description="Compare the fingerprint with what the host prints first.",
        parameters=[_REQUEST],
        request=ApproveSerializer,
        responses=HostAgentSerializer,
    )
    def approve(self, request: Request, id: str) -> Response:
        """Sign the host's certificate."""
        row = self.get_object()
        name = clean(ApproveSerializer, request.data).get("name", "")
        agent = services.approve_request(actor=self.principal(), request_id=row.pk, name=name)
        return Response(HostAgentSerializer(_shown(agent, self)).data)

    @extend_schema(
        operation_id="agents_pending_reject",
        summary="Refuse a host",
        parameters=[_REQUEST],
        request=ReasonSerializer,
        responses=WaitingHostSerializer,
    )
    def reject(self, request: Request, id: str) -> Response:
        """Refuse a host; nothing is made of it."""
        row = self.get_object()
        reason = clean(ReasonSerializer, request.data).get("reason", "")
        services.reject_request(actor=self.principal(), request_id=row.pk, reason=reason)
        return Response(WaitingHostSerializer(row).data)


def _shown(agent: HostAgent, view: ApiViewSet) -> HostAgent:
    try:
        return selectors.find_agent(str(agent.server_id), view.principal())
    except NotFound:  # who may approve need not be able to see
        return selectors.with_end(HostAgent.objects.filter(pk=agent.pk)).get()
