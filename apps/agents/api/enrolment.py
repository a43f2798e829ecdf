"""Views of enrolment: what hosts call, and the tokens they call with."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import address_of
from apps.agents import selectors, services
from apps.agents.api.serializers import (
    EnrollSerializer,
    EnrolmentTokenSerializer,
    HostEnrolmentSerializer,
    NewTokenAnswerSerializer,
    NewTokenSerializer,
    PollSerializer,
)
from apps.agents.installing import install_line
from apps.agents.models import EnrolmentToken
from apps.agents.services.enrolment import Standing
from apps.agents.states import Enrolment
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView, ApiViewSet, clean, idempotent

_QUIET = {"Cache-Control": "no-store"}


class EnrollView(ApiView):
    """Where a host asks to be let in."""

    authentication_classes = []
    throttle_scope = "enrolment"
    codes: ClassVar[dict[str, str]] = {"post": PUBLIC}

    @extend_schema(
        operation_id="agents_enroll",
        summary="Ask to be let in",
        description="202: it waits for approval; ask how it stands with `poll_token`. 201: it is let in at once. "
        "Repeated with the same key and token it counts once.",
        request=EnrollSerializer,
        responses={201: HostEnrolmentSerializer, 202: HostEnrolmentSerializer},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Take a host's request."""
        values = clean(EnrollSerializer, request.data)
        other = values.pop("enrolment_token", "")
        values["token"] = values.get("token") or other
        enrolled = services.enroll(**values, address=address_of(request))
        standing = Standing(enrolled.request)
        if enrolled.request.status == Enrolment.APPROVED:
            standing = services.enrolment_status(poll_token=enrolled.poll_token)
        data = HostEnrolmentSerializer(standing, context={"poll_token": enrolled.poll_token}).data
        return Response(data, status=201 if standing.certificate else 202, headers=_QUIET)


class EnrollStatusView(ApiView):
    """Where a host asks how its request stands."""

    authentication_classes = []
    throttle_scope = "enrolment"
    codes: ClassVar[dict[str, str]] = {"post": PUBLIC}

    @extend_schema(
        operation_id="agents_enroll_status",
        summary="Ask how a request to be let in stands",
        request=PollSerializer,
        responses=HostEnrolmentSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Return pending, approved with the certificate, rejected, or expired."""
        standing = services.enrolment_status(poll_token=clean(PollSerializer, request.data)["poll_token"])
        return Response(HostEnrolmentSerializer(standing).data, headers=_QUIET)


class EnrolmentTokenViewSet(ApiViewSet):
    """Enrolment tokens."""

    queryset = EnrolmentToken.objects.all()
    serializer_class = EnrolmentTokenSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "agents:approve",
        "create": "agents:approve",
        "destroy": "agents:approve",
    }
    secret_answers = frozenset({"create"})

    def get_queryset(self) -> Any:
        """Return the tokens the caller may see."""
        if getattr(self, "swagger_fake_view", False):
            return EnrolmentToken.objects.none()
        return selectors.tokens(self.principal())

    @extend_schema(operation_id="enrolment_tokens_list", summary="List enrolment tokens")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the tokens, the newest first, never the tokens themselves."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="enrolment_tokens_create",
        summary="Make an enrolment token",
        request=NewTokenSerializer,
        responses={201: NewTokenAnswerSerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a token; it is shown once."""
        values = clean(NewTokenSerializer, request.data)
        row, token = services.create_token(actor=self.principal(), **values)
        data = NewTokenAnswerSerializer(row, context={"token": token, "install": install_line()}).data
        return Response(data, status=201, headers=_QUIET)

    @extend_schema(
        operation_id="enrolment_tokens_delete",
        summary="Remove an enrolment token",
        parameters=[OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses={204: None},
    )
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a token; hosts that asked with it before stay."""
        services.delete_token(actor=self.principal(), token_id=self.get_object().pk)
        return Response(status=204)
