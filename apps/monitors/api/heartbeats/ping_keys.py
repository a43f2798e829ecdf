"""The API of ping keys."""

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.monitors.api.heartbeats.serializers import SecondsField
from apps.monitors.models import PingKey
from apps.monitors.selectors.heartbeats import ping_keys_with_counts
from apps.monitors.services import ping_keys as services

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class PingKeyWriteSerializer(serializers.Serializer[Any]):
    """What people set."""

    name = serializers.CharField(max_length=100)
    enabled = serializers.BooleanField(required=False, help_text="Its addresses answer 404 while it is not.")
    create_limit = serializers.IntegerField(
        required=False, min_value=0, max_value=services.LIMIT_MOST,
        help_text="How many heartbeats may belong to it before `?create=1` adds no more; 0: it adds none.",
    )  # fmt: skip
    interval_seconds = SecondsField(required=False, allow_null=True, help_text="Of heartbeats it adds; else a day.")
    cron = serializers.CharField(required=False, allow_blank=True, max_length=128, help_text="In its place.")
    timezone = serializers.CharField(required=False, max_length=64)
    grace_seconds = SecondsField(required=False, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=32)


class PingKeyChangeSerializer(PingKeyWriteSerializer):
    """A change: what is absent stays."""

    name = serializers.CharField(max_length=100, required=False)


class PingKeySerializer(serializers.ModelSerializer[PingKey]):
    """A ping key. Whoever may see it may ping with it."""

    key = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="Put a job's slug behind it.")
    heartbeats = serializers.SerializerMethodField(help_text="How many belong to it.")

    class Meta:
        model = PingKey
        fields: tuple[str, ...] = (
            "id", "name", "key", "url", "enabled", "create_limit", "heartbeats", "interval_seconds", "cron", "timezone",
            "grace_seconds", "tags", "revision", "created_at", "updated_at",
        )  # fmt: skip

    def get_url(self, row: PingKey) -> str:
        """Return the address up to the slug."""
        return f"{settings.PUBLIC_URL}/ping/k/{row.key}/"

    def get_heartbeats(self, row: PingKey) -> int:
        """Return the count."""
        counted = getattr(row, "heartbeat_count", None)
        return row.heartbeats.count() if counted is None else counted


@extend_schema_view(
    list=extend_schema(operation_id="ping_keys_list", summary="Ping keys by name"),
    retrieve=extend_schema(operation_id="ping_keys_retrieve", summary="One ping key", parameters=[_ID]),
)
class PingKeyViewSet(ApiViewSet):
    """Ping keys: one credential for many jobs, at `/ping/k/<key>/<slug>`."""

    queryset = PingKey.objects.all()
    serializer_class = PingKeySerializer
    lookup_field = "id"
    secret_answers = frozenset({"create", "renew"})
    codes: ClassVar[dict[str, str]] = {
        "list": "ping_keys:view",
        "create": "ping_keys:create",
        "retrieve": "ping_keys:view",
        "partial_update": "ping_keys:update",
        "destroy": "ping_keys:delete",
        "renew": "ping_keys:update",
    }

    def get_queryset(self) -> Any:
        """Return the keys with the number of their heartbeats."""
        return ping_keys_with_counts(super().get_queryset())

    @extend_schema(
        operation_id="ping_keys_create",
        summary="Add a ping key",
        request=PingKeyWriteSerializer,
        responses={201: PingKeySerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a key."""
        values = clean(PingKeyWriteSerializer, request.data)
        if "timezone" in values:
            values["timezone_name"] = values.pop("timezone")
        key = services.create_ping_key(actor=self.principal(), **values)
        return self._shown(key, 201)

    @extend_schema(
        operation_id="ping_keys_update",
        summary="Change a ping key; what is absent stays",
        parameters=[_ID],
        request=PingKeyChangeSerializer,
        responses=PingKeySerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change a key; what it added before stays as it is."""
        key = self.get_object()
        key = services.update_ping_key(
            ping_key_id=key.id,
            actor=self.principal(),
            changes=clean(PingKeyChangeSerializer, request.data),
            expected_revision=expected_revision(request, key),
        )
        return self._shown(key)

    @extend_schema(
        operation_id="ping_keys_destroy", summary="Remove a ping key", parameters=[_ID], responses={204: None}
    )
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a key; its heartbeats stay and keep their own addresses."""
        key = self.get_object()
        services.delete_ping_key(
            ping_key_id=key.id, actor=self.principal(), expected_revision=expected_revision(request, key)
        )
        return Response(status=204)

    @extend_schema(
        operation_id="ping_keys_renew",
        summary="Give it another secret",
        parameters=[_ID],
        request=None,
        responses=PingKeySerializer,
    )
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, id: str) -> Response:
        """Give it another secret; addresses with the old one answer 404 at once."""
        return self._shown(services.renew_ping_key(ping_key_id=self.get_object().id, actor=self.principal()))

    def _shown(self, key: PingKey, status: int = 200) -> Response:
        return with_etag(Response(PingKeySerializer(key).data, status=status), key)
