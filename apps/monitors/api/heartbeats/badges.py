"""Badges: their API, and their public addresses."""

from typing import Any, ClassVar

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, ApiViewSet, clean, idempotent
from apps.core.errors import NotFound
from apps.monitors.api.heartbeats.pings import AnyForm
from apps.monitors.badges import Look, shields, svg
from apps.monitors.models import Badge
from apps.monitors.selectors import badges as selectors
from apps.monitors.services import badges as services

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_TOKEN = OpenApiParameter("token", OpenApiTypes.STR, OpenApiParameter.PATH)
#: Seconds that a picture may be kept on its way.
KEPT_S = 30


class BadgeWriteSerializer(serializers.Serializer[Any]):
    """What a badge shows."""

    kind = serializers.ChoiceField(choices=("endpoint", "heartbeat", "tag"))
    subject = serializers.CharField(max_length=128, help_text="The id, or the tag's name.")
    shows = serializers.ChoiceField(choices=("status", "uptime", "last_ping"), required=False)
    days = serializers.IntegerField(required=False, min_value=1, max_value=365, help_text="Of the uptime; 30.")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=60, help_text="The left word. Nothing else on it names the thing."
    )


class BadgeSerializer(serializers.ModelSerializer[Badge]):
    """A badge and its addresses."""

    urls = serializers.SerializerMethodField(help_text="Public addresses: svg, json, shields.")
    snippets = serializers.SerializerMethodField(help_text="Texts to copy: markdown, html, shields.")

    class Meta:
        model = Badge
        fields: tuple[str, ...] = ("id", "kind", "subject", "shows", "days", "label", "urls", "snippets", "created_at")

    def get_urls(self, row: Badge) -> dict[str, str]:
        """Return the addresses by form."""
        forms = {"svg": "svg", "json": "json", "shields": "shields.json"}
        return {name: selectors.address_of(row, form) for name, form in forms.items()}

    def get_snippets(self, row: Badge) -> dict[str, str]:
        """Return the texts to copy."""
        return selectors.snippets_of(row)


class BadgeFigureSerializer(serializers.Serializer[Any]):
    """What a badge says now."""

    label = serializers.CharField()  # type: ignore[assignment]
    message = serializers.CharField()
    tone = serializers.ChoiceField(choices=("ok", "warn", "crit", "info", "quiet"))
    at = serializers.DateTimeField()


class ShieldsSerializer(serializers.Serializer[Any]):
    """The endpoint form of shields.io."""

    schemaVersion = serializers.IntegerField()  # noqa: N815  the form's own name
    label = serializers.CharField()  # type: ignore[assignment]
    message = serializers.CharField()
    color = serializers.CharField()
    isError = serializers.BooleanField()  # noqa: N815  the form's own name


@extend_schema_view(
    list=extend_schema(
        operation_id="badges_list",
        summary="Badges, newest first",
        parameters=[
            OpenApiParameter("kind", OpenApiTypes.STR, enum=["endpoint", "heartbeat", "tag"]),
            OpenApiParameter("subject", OpenApiTypes.STR, description="The id, or the tag's name."),
        ],
    ),
    retrieve=extend_schema(operation_id="badges_retrieve", summary="One badge", parameters=[_ID]),
)
class BadgeViewSet(ApiViewSet):
    """Badges: public pictures of how something stands."""

    queryset = Badge.objects.all()
    serializer_class = BadgeSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "badges:view",
        "create": "badges:create",
        "retrieve": "badges:view",
        "destroy": "badges:delete",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply the list's filters."""
        for name in ("kind", "subject"):
            if self.request.query_params.get(name):
                queryset = queryset.filter(**{name: self.request.query_params[name]})
        return queryset

    @extend_schema(
        operation_id="badges_create",
        summary="Make a badge",
        request=BadgeWriteSerializer,
        responses={201: BadgeSerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a public address; whoever knows it sees the status, and nothing else."""
        badge = services.create_badge(actor=self.principal(), **clean(BadgeWriteSerializer, request.data))
        return Response(BadgeSerializer(badge).data, status=201)

    @extend_schema(operation_id="badges_destroy", summary="Revoke a badge", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Revoke a badge; its address answers 404 from now on."""
        services.delete_badge(badge_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


class _BadgeView(ApiView):
    codes: ClassVar[dict[str, str]] = {"get": "public", "head": "public"}
    authentication_classes = ()  # public, and nobody's rights change it
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnyForm
    throttle_scope = "none"  # one proxy fetches the pictures of all readers of a page

    def look(self, token: str) -> Look:
        """Return what the badge says now.

        Raises:
            NotFound: no such badge, or it is revoked, or what it showed is gone (404).
        """
        badge = selectors.badge_of(token)
        look = selectors.look_of(badge) if badge else None
        if look is None:
            raise NotFound("There is no such badge.")
        return look

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let everybody keep it for a moment, and show it on any page."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = f"public, max-age={KEPT_S}"
        response["Access-Control-Allow-Origin"] = "*"
        response["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response


class BadgePictureView(_BadgeView):
    """A badge as a picture."""

    @extend_schema(
        operation_id="badge_svg",
        summary="A badge as a picture",
        parameters=[_TOKEN],
        responses={(200, "image/svg+xml"): OpenApiTypes.STR, 404: OpenApiResponse(description="Unknown or revoked.")},
        auth=[],
    )
    def get(self, request: Request, token: str) -> HttpResponse:
        """Return the picture."""
        return HttpResponse(svg(self.look(token)), content_type="image/svg+xml; charset=utf-8")


class BadgeFigureView(_BadgeView):
    """A badge as data."""

    @extend_schema(
        operation_id="badge_json",
        summary="A badge as data",
        parameters=[_TOKEN],
        responses={200: BadgeFigureSerializer, 404: OpenApiResponse(description="Unknown or revoked.")},
        auth=[],
    )
    def get(self, request: Request, token: str) -> HttpResponse:
        """Return label, message and tone."""
        return JsonResponse(BadgeFigureSerializer(selectors.moment_of(self.look(token))).data)


class BadgeShieldsView(_BadgeView):
    """A badge as shields.io reads it."""

    @extend_schema(
        operation_id="badge_shields",
        summary="A badge as the endpoint form of shields.io",
        parameters=[_TOKEN],
        responses={200: ShieldsSerializer, 404: OpenApiResponse(description="Unknown or revoked.")},
        auth=[],
    )
    def get(self, request: Request, token: str) -> HttpResponse:
        """Return the endpoint form."""
        return JsonResponse(shields(self.look(token)))
