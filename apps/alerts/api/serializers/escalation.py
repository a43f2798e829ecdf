"""Shapes of escalation in the API."""

from typing import Any

from rest_framework import serializers

from apps.alerts.api.serializers.thresholds import DurationField
from apps.alerts.ladders import channel_states, policies, warnings_of
from apps.alerts.models import EscalationPolicy
from apps.core.runtime_settings import parse_duration


class AcknowledgeSerializer(serializers.Serializer[Any]):
    """A note, and for how long."""

    note = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    for_s = serializers.IntegerField(
        min_value=60,
        max_value=30 * 86400,
        required=False,
        allow_null=True,
        default=None,
        help_text="It is everybody's again after so many seconds if it is still open; `for` takes a text such as 2h.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Accept `for`, seconds or "2h", for `for_s`."""
        if isinstance(data, dict) and "for" in data:
            data = dict(data)
            try:
                data["for_s"] = int(parse_duration(data.pop("for")))
            except ValueError as error:
                raise serializers.ValidationError({"for": [str(error)]}) from error
        return super().to_internal_value(data)


class StepSerializer(serializers.Serializer[Any]):
    """A step: who is told after how long without acknowledgement."""

    after_s = DurationField(help_text="Seconds since the alert opened, or 5m; each step later than the one before.")
    channels = serializers.ListField(child=serializers.UUIDField(), required=False, help_text="Ids of channels.")
    inbox = serializers.BooleanField(required=False, default=False, help_text="Also tell people in their inbox.")
    repeat_s = DurationField(required=False, help_text="Told again so often until the next step; 0: once.")


class PolicySerializer(serializers.ModelSerializer[EscalationPolicy]):
    """An escalation policy."""

    steps = StepSerializer(many=True)
    remind_every_s = serializers.IntegerField(
        allow_null=True, required=False, help_text="Seconds between reminders; null: as the setting says; 0: never."
    )
    warnings = serializers.SerializerMethodField(help_text="What of it would not do what it says.")

    class Meta:
        model = EscalationPolicy
        fields = (
            "id",
            "name",
            "position",
            "enabled",
            "sources",
            "levels",
            "tags",
            "steps",
            "remind_every_s",
            "warnings",
            "revision",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("id", "revision", "created_at", "updated_at")
        extra_kwargs = {
            "position": {"help_text": "The policy with the lowest that fits an alert is the one that counts."},
            "tags": {"help_text": "An alert with one of them fits; none: every alert."},
        }

    def get_warnings(self, policy: EscalationPolicy) -> list[str]:
        """Return the warnings; channels and policies are read once an answer."""
        context: Any = self.context
        if "policies" not in context:
            context["policies"], context["channels"] = policies(), channel_states()
        return warnings_of(policy, context["policies"], context["channels"])


class ToldSerializer(serializers.Serializer[Any]):
    """A channel of a step and what became of its message."""

    id = serializers.CharField()
    name = serializers.CharField()
    state = serializers.CharField(help_text="planned, pending, delivered, failed or suppressed.")
    reason = serializers.CharField()


class LadderStepSerializer(serializers.Serializer[Any]):
    """One step of an alert's ladder."""

    number = serializers.IntegerField()
    round = serializers.IntegerField(help_text="Counts how often the ladder began anew.")
    repetition = serializers.IntegerField()
    state = serializers.CharField(help_text="planned, waiting, told, suppressed or cancelled.")
    reason = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    channels = ToldSerializer(many=True)
    inbox_count = serializers.IntegerField()


class ReminderSerializer(serializers.Serializer[Any]):
    """The reminders of an alert."""

    every_s = serializers.IntegerField()
    next_at = serializers.DateTimeField(allow_null=True)
    count = serializers.IntegerField()
    last_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()


class LadderSerializer(serializers.Serializer[Any]):
    """How far an alert's escalation has come."""

    alert_id = serializers.UUIDField()
    status = serializers.CharField(help_text="Of the alert: active, acknowledged or resolved.")
    acknowledged_by = serializers.CharField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_until = serializers.DateTimeField(allow_null=True)
    policy_id = serializers.UUIDField(allow_null=True)
    policy = serializers.CharField(allow_null=True)
    state = serializers.CharField(help_text="none, running or ended.")
    reason = serializers.CharField()
    steps = LadderStepSerializer(many=True)
    reminder = ReminderSerializer(allow_null=True)
