"""The inbox."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notifications.api.serializers.common import Str, SubjectSerializer
from apps.notifications.models import Notification


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """One message of the inbox."""

    event = Str(source="event_name", read_only=True)
    subject = serializers.SerializerMethodField()
    is_read = serializers.SerializerMethodField()

    class Meta:
        model = Notification
        fields = ("id", "title", "message", "level", "event", "subject", "url", "is_read", "read_at", "created_at")
        read_only_fields = fields

    @extend_schema_field(SubjectSerializer)
    def get_subject(self, row: Notification) -> dict[str, str]:
        return {"kind": row.subject_kind, "id": row.subject_id, "name": row.subject_name}

    def get_is_read(self, row: Notification) -> bool:
        return row.read_at is not None


class UnreadCountSerializer(serializers.Serializer[Any]):
    """How many messages are unread."""

    count = serializers.IntegerField()
    unread_count = serializers.IntegerField()


class MarkedCountSerializer(serializers.Serializer[Any]):
    """How many messages were marked as read."""

    marked_count = serializers.IntegerField()
