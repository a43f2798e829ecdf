"""Views of the limits of change."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.fleet import services
from apps.fleet.models import ChangeLimit


class ChangeLimitWriteSerializer(serializers.Serializer[Any]):
    """How many servers may be under change at once. Give a number, a share, or both: then the smaller counts."""

    tag = serializers.CharField(
        max_length=64, allow_blank=True, required=False, help_text="Of the servers; empty: all servers."
    )
    hosts_most = serializers.IntegerField(min_value=1, max_value=100_000, allow_null=True, required=False)
    percent_most = serializers.IntegerField(
        min_value=1, max_value=100, allow_null=True, required=False, help_text="Of these servers; never less than one."
    )
    enabled = serializers.BooleanField(required=False)


class ChangeLimitSerializer(serializers.ModelSerializer[ChangeLimit]):
    """A limit."""

    class Meta:
        model = ChangeLimit
        fields = ("id", "revision", "tag", "hosts_most", "percent_most", "enabled", "created_at", "updated_at")


@extend_schema_view(
    list=extend_schema(operation_id="change_limits_list", summary="List the limits of change"),
    retrieve=extend_schema(operation_id="change_limits_get", summary="Get a limit of change"),
)
class ChangeLimitViewSet(ApiViewSet):
    """How many servers may be under change at once; every command draws from it."""

    queryset = ChangeLimit.objects.order_by("tag", "id")
    serializer_class = ChangeLimitSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "change_limits:view",
        "retrieve": "change_limits:view",
        "create": "change_limits:create",
        "partial_update": "change_limits:update",
        "destroy": "change_limits:delete",
    }

    @extend_schema(
        operation_id="change_limits_create",
        summary="Add a limit of change",
        request=ChangeLimitWriteSerializer,
        responses={201: ChangeLimitSerializer},
        examples=[
            OpenApiExample(
                "A tenth of the web servers, two at most",
                value={"tag": "web", "hosts_most": 2, "percent_most": 10},
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a limit."""
        values = clean(ChangeLimitWriteSerializer, request.data)
        row = services.create_change_limit(actor=self.principal(), values=values)
        return with_etag(Response(ChangeLimitSerializer(row).data, status=201), row)

    @extend_schema(
        operation_id="change_limits_update",
        summary="Change a limit of change",
        request=ChangeLimitWriteSerializer(partial=True),
        responses=ChangeLimitSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured. What runs goes on."""
        row = self.get_object()
        row = services.update_change_limit(
            actor=self.principal(),
            limit_id=row.id,
            values=clean(ChangeLimitWriteSerializer, request.data, partial=True),
            revision=expected_revision(request, row),
        )
        return with_etag(Response(ChangeLimitSerializer(row).data), row)

    @extend_schema(operation_id="change_limits_delete", summary="Remove a limit of change", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a limit."""
        row = self.get_object()
        expected_revision(request, row)
        services.delete_change_limit(actor=self.principal(), limit_id=row.id)
        return Response(status=204)
