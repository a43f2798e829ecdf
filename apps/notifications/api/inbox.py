"""The caller's own inbox."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet
from apps.core.errors import Invalid
from apps.notifications import selectors, services
from apps.notifications.api.serializers import MarkedCountSerializer, NotificationSerializer, UnreadCountSerializer
from apps.notifications.models import Notification

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


class NotificationViewSet(ApiViewSet):
    """Messages to the caller."""

    queryset = Notification.objects.order_by("-id")
    serializer_class = NotificationSerializer
    lookup_field = "id"
    codes = dict.fromkeys(("list", "unread_count", "read", "read_all"), "notifications:view")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply `unread` and `level`."""
        unread = self.request.query_params.get("unread", "").lower()
        if unread not in _TRUE | _FALSE:
            raise Invalid({"unread": "give true or false"}, where="query")
        if unread in _TRUE:
            queryset = queryset.filter(read_at__isnull=True)
        level = self.request.query_params.get("level")
        return queryset.filter(level=level) if level else queryset

    @extend_schema(
        summary="My messages, newest first",
        parameters=[
            OpenApiParameter("unread", bool, description="Only those not read yet."),
            OpenApiParameter("level", str, enum=["info", "warning", "critical"]),
        ],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="How many of my messages are unread", responses=UnreadCountSerializer)
    def unread_count(self, request: Request) -> Response:
        count = selectors.unread_count(self.principal())
        return Response({"count": count, "unread_count": count})

    @extend_schema(summary="Mark one of my messages as read", request=None, responses=NotificationSerializer)
    def read(self, request: Request, id: str) -> Response:
        row = services.mark_read(actor=self.principal(), notification_id=self.get_object().id)
        return Response(self.get_serializer(row).data)

    @extend_schema(summary="Mark all my messages as read", request=None, responses=MarkedCountSerializer)
    def read_all(self, request: Request) -> Response:
        return Response({"marked_count": services.mark_all_read(actor=self.principal())})
