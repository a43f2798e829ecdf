"""Shapes of the alerts' API."""

from typing import Any, cast

from rest_framework import serializers

from apps.alerts.models import Alert, Threshold
from apps.core.runtime_settings import parse_duration
from apps.fleet.models import Server


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """An alert as lists show it."""

    type = serializers.CharField(
        read_only=True, help_text='"cpu", "memory", "disk", "offline", "availability", "run", "certificate" ...'
    )
    agent_id = serializers.SerializerMethodField(help_text="Slug of the server, where it is about one.")
    acknowledged = serializers.SerializerMethodField()
    silenced = serializers.BooleanField(source="is_silenced", read_only=True)
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
            "silenced",
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


class LimitsSerializer(serializers.Serializer[Any]):
    """Warning and critical, percent."""

    warning = serializers.FloatField(required=False)
    critical = serializers.FloatField(required=False)


class ConfigSerializer(serializers.Serializer[Any]):
    """The six global limits."""

    cpu = LimitsSerializer(required=False)
    memory = LimitsSerializer(required=False)
    disk = LimitsSerializer(required=False)


class DurationField(serializers.Field[Any, Any, Any, Any]):
    """Seconds, or a text such as "30m"."""

    def to_internal_value(self, data: Any) -> int:
        """Return whole seconds."""
        try:
            return int(parse_duration(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: Any) -> int:
        """Return whole seconds."""
        return int(value)


class ThresholdSerializer(serializers.Serializer[Any]):
    """A threshold as the API shows it."""

    id = serializers.UUIDField(read_only=True)
    server_id = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text="Id or slug; none: all servers."
    )
    agent_id = serializers.CharField(source="server.slug", read_only=True, allow_null=True, default=None)
    metric_type = serializers.ChoiceField(Threshold.Metric.choices, source="metric")
    threshold_value = serializers.FloatField(source="value")
    comparison = serializers.ChoiceField(Threshold.Comparison.choices, default="gte")
    level = serializers.ChoiceField(Alert.Level.choices, default="warning")
    for_s = serializers.IntegerField(
        min_value=0,
        max_value=86400,
        required=False,
        help_text="Seconds breached before an alert opens; `for` is accepted too.",
    )
    clear_value = serializers.FloatField(
        required=False, allow_null=True, help_text="Where the alert clears; none: 5 % on the good side."
    )
    enabled = serializers.BooleanField(default=True)
    revision = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def to_internal_value(self, data: Any) -> Any:
        """Accept the contract's `for`, seconds or "5m", for `for_s`; refuse unknown fields."""
        if isinstance(data, dict):
            data = dict(data)
            unknown = sorted(set(data) - set(self.fields) - {"for"})
            if unknown:
                raise serializers.ValidationError(dict.fromkeys(unknown, ["is not a field of a threshold"]))
            if "for" in data:
                try:
                    data["for_s"] = DurationField().run_validation(data.pop("for"))
                except serializers.ValidationError as error:
                    raise serializers.ValidationError({"for": error.detail}) from error
        return super().to_internal_value(data)

    def to_representation(self, instance: Any) -> Any:
        """Show `for` beside `for_s`."""
        body = super().to_representation(instance)
        body["server_id"] = str(instance.server_id) if instance.server_id else None
        body["for"] = instance.for_s
        return body
