"""Shapes of rehearsals in the API."""

from typing import Any

from rest_framework import serializers

from apps.alerts.api.serializers.thresholds import ThresholdSerializer
from apps.notifications.api.serializers.rules import FullRuleBody


class ScheduleBody(serializers.Serializer[Any]):
    """What of a heartbeat's schedule is to be tried."""

    heartbeat_id = serializers.UUIDField()
    interval_seconds = serializers.IntegerField(required=False, allow_null=True)
    cron = serializers.CharField(required=False, allow_blank=True)
    on_calendar = serializers.CharField(required=False, allow_blank=True)
    timezone = serializers.CharField(required=False)
    grace_seconds = serializers.IntegerField(required=False)
    early_seconds = serializers.IntegerField(required=False)
    max_runtime_seconds = serializers.IntegerField(required=False, allow_null=True)


class EndpointBody(serializers.Serializer[Any]):
    """What of an endpoint's thresholds is to be tried."""

    endpoint_id = serializers.UUIDField()
    failure_threshold = serializers.IntegerField(required=False)
    recovery_threshold = serializers.IntegerField(required=False)
    degraded_over_ms = serializers.IntegerField(required=False, min_value=1)


class RehearsalBody(serializers.Serializer[Any]):
    """What is tried on which time. Only the part named by `kind` is read."""

    kind = serializers.CharField(help_text="threshold, rule, schedule or endpoint.")
    threshold = ThresholdSerializer(
        required=False,
        partial=True,
        help_text="As it would be; without `threshold_value` the thresholds of the metric as they are.",
    )
    threshold_id = serializers.UUIDField(required=False, help_text="The threshold that `threshold` would replace.")
    rule = FullRuleBody(required=False, partial=True, help_text="As it would be.")
    rule_id = serializers.UUIDField(required=False, help_text="The rule that `rule` would replace.")
    schedule = ScheduleBody(required=False)
    endpoint = EndpointBody(required=False)

    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`; the one is no name in Python."""
        return {
            **super().get_fields(),
            "from": serializers.DateTimeField(required=False, help_text="A week before the end where absent."),
            "to": serializers.DateTimeField(required=False, help_text="Now where absent."),
        }


class RehearsedTellingSerializer(serializers.Serializer[Any]):
    """Somebody who would have been told."""

    kind = serializers.CharField(help_text="channel, inbox or webhook.")
    destination = serializers.CharField()
    rule = serializers.CharField()
    outcome = serializers.CharField(help_text="told, held or suppressed.")
    reason = serializers.CharField()


class RehearsedAlertSerializer(serializers.Serializer[Any]):
    """An alert that would have been; for a rule an event that it would have told."""

    source = serializers.CharField()  # type: ignore[assignment]
    type = serializers.CharField()
    subject_kind = serializers.CharField()
    subject_id = serializers.CharField()
    subject_name = serializers.CharField()
    level = serializers.CharField()
    opened_at = serializers.DateTimeField()
    escalated_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    message = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    told = RehearsedTellingSerializer(many=True)


class RehearsedDaySerializer(serializers.Serializer[Any]):
    """How many opened on a UTC day."""

    day = serializers.DateField()
    count = serializers.IntegerField()


class RehearsedTotalSerializer(serializers.Serializer[Any]):
    """How often somebody would have been told."""

    kind = serializers.CharField()
    destination = serializers.CharField()
    outcome = serializers.CharField()
    count = serializers.IntegerField()


class RehearsalSerializer(serializers.Serializer[Any]):
    """What a rehearsal found."""

    kind = serializers.CharField()
    basis = serializers.CharField(help_text="What of the past was read.")
    complete = serializers.BooleanField(help_text="False where its bounds ended it before the end of the span.")
    notes = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField(help_text="How many would have opened.")
    real_count = serializers.IntegerField(allow_null=True, help_text="How many really opened in that time.")
    open_at_end = serializers.IntegerField()
    per_day = RehearsedDaySerializer(many=True)
    told = RehearsedTotalSerializer(many=True)
    fired = RehearsedAlertSerializer(many=True, help_text="The first 500.")

    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`; the one is no name in Python."""
        return {
            **super().get_fields(),
            "from": serializers.DateTimeField(),
            "to": serializers.DateTimeField(help_text="How far it came."),
        }
