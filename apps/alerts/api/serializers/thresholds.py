"""Shapes of thresholds."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.models import Alert, Threshold
from apps.core.runtime_settings import parse_duration


class LimitsSerializer(serializers.Serializer[Any]):
    """Warning and critical, percent."""

    warning = serializers.FloatField(required=False)
    critical = serializers.FloatField(required=False)


class ConfigSerializer(serializers.Serializer[Any]):
    """The six global limits."""

    cpu = LimitsSerializer(required=False)
    memory = LimitsSerializer(required=False)
    disk = LimitsSerializer(required=False)


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "example": "30m"}]})
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
