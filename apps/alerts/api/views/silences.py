"""Views of silences."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import services
from apps.alerts.api.serializers import SilenceSerializer, SilenceWriteSerializer
from apps.alerts.models import Silence
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiViewSet, clean, idempotent, with_etag
from apps.core.errors import Invalid

_SILENCES = inline_serializer("Silences", {"rules": SilenceSerializer(many=True)})


@extend_schema_view(
    list=extend_schema(
        operation_id="silences_list",
        summary="Silences in force, with what each mutes now",
        parameters=[
            OpenApiParameter("all", OpenApiTypes.BOOL, description="`true`: those to come and those that are over too.")
        ],
        responses=_SILENCES,
    ),
    retrieve=extend_schema(operation_id="silences_retrieve", summary="One silence", responses=SilenceSerializer),
)
class SilenceViewSet(ApiViewSet):
    """Silences: made and ended, never changed."""

    queryset = Silence.objects.all()
    serializer_class = SilenceSerializer
    lookup_field = "id"
    cursor_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "silences:view",
        "retrieve": "silences:view",
        "create": "silences:create",
        "destroy": "silences:delete",
    }

    def envelope(self, rows: Any, pages: EnvelopePagination) -> dict[str, Any]:
        """Return the contract's envelope, with the page's figures beside it."""
        return {"rules": rows, "count": pages.count, "next": pages.next_link(), "previous": pages.previous_link()}

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `all`.

        Raises:
            Invalid: neither true nor false (422).
        """
        wanted = self.request.query_params.get("all", "false").lower()
        if wanted not in ("true", "false", "1", "0"):
            raise Invalid({"all": "give true or false"}, where="query")
        return queryset if wanted in ("true", "1") else queryset.running(timezone.now())

    @extend_schema(
        operation_id="silences_create",
        summary="Silence alerts",
        request=SilenceWriteSerializer,
        responses={201: SilenceSerializer},
        examples=[
            OpenApiExample(
                "Two hours of work on a host",
                value={"matchers": {"entity": "web-*", "level": ["warning"]}, "duration": "2h", "reason": "New disks"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Silence what matches, what is open now too; 422 without an end."""
        values = clean(SilenceWriteSerializer, request.data)
        duration = values.get("duration_seconds") if values.get("duration") is None else values["duration"]
        silence = services.create_silence(
            actor=self.principal(),
            matchers=values.get("matchers") or {},
            starts_at=values.get("starts_at"),
            ends_at=values.get("ends_at"),
            duration_s=duration,
            reason=values["reason"],
        )
        return with_etag(Response(SilenceSerializer(silence).data, status=201), silence)

    @extend_schema(operation_id="silences_delete", summary="End a silence; its row stays", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """End a silence now; what still stands is told. 409 where it is over."""
        services.cancel_silence(silence_id=self.get_object().id, actor=self.principal())
        return Response(status=204)
