"""Views of the sources of alerts, and the address they post to."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import services
from apps.alerts.api.serializers.sources import (
    NewSourceSerializer,
    PostedSerializer,
    SourceSerializer,
    SourceTrialSerializer,
)
from apps.alerts.models import AlertSource
from apps.alerts.services.inbound import BODY_MOST
from apps.core import context
from apps.core.api.views import ApiView, ApiViewSet, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, TooLarge
from apps.monitors.api.heartbeats.pings import AnyForm

_EXAMPLE = OpenApiExample(
    "Alertmanager",
    value={"name": "Prometheus in Berlin", "kind": "alertmanager", "tags": ["berlin"], "tag_labels": ["team"]},
    request_only=True,
)
_GENERIC = OpenApiExample(
    "Anything that posts JSON",
    value={
        "name": "Backups",
        "kind": "generic",
        "mapping": {"alerts": "events", "name": "job.title", "status": "state", "resolved": ["done"]},
        "resolve_after_s": "12h",
    },
    request_only=True,
)


def _values(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise Invalid({"": "give an object"})
    return dict(request.data)


def _with_token(source: AlertSource, token: str, status: int) -> Response:
    data = NewSourceSerializer(source, context={"token": token}).data
    return with_etag(Response(data, status=status, headers={"Cache-Control": "no-store"}), source)


@extend_schema_view(
    list=extend_schema(operation_id="alert_sources_list", summary="Systems that may post their alerts"),
    retrieve=extend_schema(operation_id="alert_sources_retrieve", summary="One source, with what arrived last"),
)
class AlertSourceViewSet(ApiViewSet):
    """Sources of alerts: full control."""

    queryset = AlertSource.objects.select_related("state").order_by("name")
    serializer_class = SourceSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "alert_sources:view",
        "retrieve": "alert_sources:view",
        "create": "alert_sources:create",
        "partial_update": "alert_sources:update",
        "destroy": "alert_sources:delete",
        "rotate_token": "alert_sources:update",
        "test": "alert_sources:update",
    }
    secret_answers = frozenset({"create"})

    @extend_schema(
        operation_id="alert_sources_create",
        summary="Let another system post its alerts",
        request=SourceSerializer,
        responses={201: NewSourceSerializer},
        examples=[_EXAMPLE, _GENERIC],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a source; the answer alone shows its token."""
        source, token = services.create_source(actor=self.principal(), values=_values(request))
        return _with_token(source, token, 201)

    @extend_schema(
        operation_id="alert_sources_update",
        summary="Change a source of alerts",
        request=SourceSerializer,
        responses=SourceSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        source = self.get_object()
        changed = services.update_source(
            source_id=source.id,
            values=_values(request),
            expected_revision=expected_revision(request, source),
            actor=self.principal(),
        )
        return with_etag(Response(SourceSerializer(changed).data), changed)

    @extend_schema(operation_id="alert_sources_delete", summary="Remove a source of alerts", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a source; its alerts that are open are resolved."""
        source = self.get_object()
        services.delete_source(
            source_id=source.id, actor=self.principal(), expected_revision=expected_revision(request, source)
        )
        return Response(status=204)

    @extend_schema(
        operation_id="alert_sources_rotate_token",
        summary="Give a source another token",
        request=None,
        responses=NewSourceSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate-token")
    def rotate_token(self, request: Request, id: str) -> Response:
        """Make another token, shown in this answer alone; the old one answers 404 at once."""
        return _with_token(*services.rotate_token(source_id=self.get_object().id, actor=self.principal()), 200)

    @extend_schema(
        operation_id="alert_sources_test",
        summary="Open and resolve a test alert of a source",
        request=None,
        responses=SourceTrialSerializer,
    )
    @action(detail=True, methods=["post"], url_path="test")
    def test(self, request: Request, id: str) -> Response:
        """Take a test alert as if the other system had posted it; people are told as of any other."""
        found = services.try_source(source_id=self.get_object().id, actor=self.principal())
        return Response(SourceTrialSerializer(found).data)


_ANSWERS = {
    202: PostedSerializer,
    400: OpenApiResponse(description="The body is not JSON."),
    404: OpenApiResponse(description="No source that is enabled has this token."),
    413: OpenApiResponse(description="The body is over 1 MiB."),
    422: OpenApiResponse(description="Not what the source's system posts, or none of its alerts can be taken."),
    429: OpenApiResponse(description="Too many posts; `Retry-After` says when to go on."),
}


class PostedAlertsView(ApiView):
    """Alerts of another system, the source's token in the path."""

    codes: ClassVar[dict[str, str]] = dict.fromkeys(("get", "head", "post", "put", "patch", "delete"), "public")
    authentication_classes = ()  # the token is the only credential; a login beside it changes nothing
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnyForm
    throttle_scope = "none"

    @extend_schema(
        operation_id="alerts_in",
        summary="Post alerts of another system",
        description="The body is what Alertmanager, Grafana, Uptime Kuma or Healthchecks post, or JSON that the source "
        "maps. 202 says that what was taken is on the disk; single alerts that could not be taken stand in `errors`.",
        parameters=[OpenApiParameter("token", str, OpenApiParameter.PATH, description="Shown once with the source.")],
        request=OpenApiTypes.OBJECT,
        responses=_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, token: str = "") -> Response:
        """Take a post."""
        return self.accept(request, token)

    def accept(self, request: Request, token: str) -> Response:
        """Take a post of the source with this token."""
        underlying = request._request
        length = underlying.headers.get("Content-Length") or "0"
        if length.isdigit() and int(length) > BODY_MOST:
            raise TooLarge(f"A post has at most {BODY_MOST} bytes; send fewer alerts at once.")
        outcome = services.receive_post(
            token=token,
            body=underlying.body,
            address=context.current().address or underlying.META.get("REMOTE_ADDR", ""),
        )
        return Response(PostedSerializer(outcome.as_dict()).data, status=202, headers={"Cache-Control": "no-store"})


class PostedByHeaderView(PostedAlertsView):
    """Alerts of another system, the source's token in a header, so that it stands in no log."""

    @extend_schema(
        operation_id="alerts_in_by_header",
        summary="Post alerts of another system, the token in a header",
        parameters=[
            OpenApiParameter("Authorization", str, OpenApiParameter.HEADER, description="`Bearer` and the token.")
        ],
        request=OpenApiTypes.OBJECT,
        responses=_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, token: str = "") -> Response:
        """Take a post."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return self.accept(request, given.strip() if scheme.lower() == "bearer" else "")
