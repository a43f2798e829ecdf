"""Shapes of alerts."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.models import Alert
from apps.fleet.models import Server


class CauseSerializer(serializers.Serializer[Any]):
    """What mutes an alert."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """An alert as lists show it."""

    type = serializers.CharField(
        read_only=True, help_text='"cpu", "memory", "disk", "offline", "availability", "run", "certificate" ...'
    )
    agent_id = serializers.SerializerMethodField(help_text="Slug of the server, where it is about one.")
    acknowledged = serializers.SerializerMethodField()
    silenced = serializers.BooleanField(source="is_silenced", read_only=True)
    told = serializers.BooleanField(source="is_told", read_only=True, help_text="People were told that it opened.")
    muted_by = serializers.CharField(
        read_only=True,
        help_text="What keeps it from people: silence, maintenance, dependency, waiting, flapping; or empty.",
    )
    cause = serializers.SerializerMethodField(help_text="The silence, window or parent that mutes it.")
    created_at = serializers.DateTimeField(source="opened_at", read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id",
            "type",
            "kind",
            "level",
            "status",
            "value",
            "threshold",
            "message",
            "source",
            "subject_kind",
            "subject_id",
            "subject_name",
            "server_id",
            "agent_id",
            "acknowledged",
            "acknowledged_at",
            "acknowledged_by",
            "acknowledged_until",
            "silenced",
            "told",
            "muted_by",
            "muted_reason",
            "cause",
            "count",
            "last_seen_at",
            "tags",
            "note",
            "created_at",
            "escalated_at",
            "resolved_at",
            "resolved_by",
        ]

    def get_agent_id(self, alert: Alert) -> str | None:
        """Return the slug of the alert's server; looked up once a page."""
        if alert.server_id is None:
            return None
        slugs: dict[Any, str] = cast(dict[str, Any], self.context).setdefault("slugs", {})
        if alert.server_id not in slugs:
            page = getattr(self.parent, "instance", None) or [alert]
            wanted = {row.server_id for row in page if row.server_id}
            slugs.update(dict.fromkeys(wanted, ""))
            slugs.update(Server.objects.filter(id__in=wanted).values_list("id", "slug"))
        return slugs[alert.server_id] or None

    @extend_schema_field(CauseSerializer(allow_null=True))
    def get_cause(self, alert: Alert) -> dict[str, str] | None:
        """Return what mutes it, by value."""
        if not alert.cause_id:
            return None
        return {"kind": alert.cause_kind, "id": alert.cause_id, "name": alert.cause_name}

    def get_acknowledged(self, alert: Alert) -> bool:
        """Return whether somebody took care of it."""
        return alert.acknowledged_at is not None and alert.status != Alert.Status.ACTIVE


class AlertDetailSerializer(AlertSerializer):
    """An alert with its evidence."""

    class Meta(AlertSerializer.Meta):
        fields = [*AlertSerializer.Meta.fields, "evidence", "revision"]


class NoteSerializer(serializers.Serializer[Any]):
    """A note that goes with a transition."""

    note = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
