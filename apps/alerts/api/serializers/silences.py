"""Shapes of silences, and of why people were told."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.api.serializers.thresholds import DurationField
from apps.alerts.models import Silence
from apps.alerts.services.silences import muted_by_silences

NAMED = 5


class MatchersSerializer(serializers.Serializer[Any]):
    """Filters; all must match, within one any of its words. None at all: every alert."""

    source = serializers.ListField(  # type: ignore[assignment]  # the matcher's name, not the field's origin
        child=serializers.CharField(), help_text="endpoint, heartbeat, certificate, server"
    )
    entity = serializers.ListField(child=serializers.CharField(), help_text="id, kind:id, or a name with * and ?")
    level = serializers.ListField(child=serializers.CharField())
    tag = serializers.ListField(child=serializers.CharField())


class MutedSerializer(serializers.Serializer[Any]):
    """What a silence mutes now."""

    count = serializers.IntegerField()
    names = serializers.ListField(child=serializers.CharField(), help_text="the newest five")
    alert_ids = serializers.ListField(child=serializers.UUIDField())


class SilenceSerializer(serializers.Serializer[Silence]):
    """A silence as the API shows it."""

    id = serializers.UUIDField()
    matchers = serializers.SerializerMethodField()
    about = serializers.CharField(help_text="the filters in words")
    reason = serializers.CharField()
    state = serializers.ChoiceField(["active", "scheduled", "ended", "cancelled"])
    is_active = serializers.BooleanField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    cancelled_by = serializers.CharField()
    muting = serializers.SerializerMethodField()
    warning = serializers.SerializerMethodField()
    revision = serializers.IntegerField()

    @extend_schema_field(MatchersSerializer)
    def get_matchers(self, silence: Silence) -> dict[str, list[str]]:
        """Return the filters."""
        return {
            "source": silence.sources, "entity": silence.entities, "level": silence.levels, "tag": silence.tags,
        }  # fmt: skip

    @extend_schema_field(MutedSerializer)
    def get_muting(self, silence: Silence) -> dict[str, Any]:
        """Return what it mutes now; found once a page."""
        context = cast(dict[str, Any], self.context)
        muted = context.get("muted")
        if muted is None:
            page = getattr(self.parent, "instance", None) or [silence]
            muted = context["muted"] = muted_by_silences(page)
        alerts = muted.get(silence.id, [])
        return {
            "count": len(alerts),
            "names": [alert.subject_name for alert in alerts[:NAMED]],
            "alert_ids": [str(alert.id) for alert in alerts[:NAMED]],
        }

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_warning(self, silence: Silence) -> str | None:
        """Say loudly that everything is silenced."""
        if not silence.is_for_all:
            return None
        return "This silences EVERY alert: nobody is told of anything until it ends."


class SilenceWriteSerializer(serializers.Serializer[Any]):
    """A silence as it is sent."""

    matchers = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text="source, entity, level, tag: a text or a list each; all must match, none at all matches everything",
    )
    starts_at = serializers.DateTimeField(required=False, allow_null=True, help_text="now if absent")
    ends_at = serializers.DateTimeField(required=False, allow_null=True, help_text="or `duration`")
    duration = DurationField(required=False, allow_null=True, help_text="seconds, or a text such as 2h")
    duration_seconds = serializers.IntegerField(required=False, min_value=1, help_text="the same as `duration`")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, default="")

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown fields: a filter that is misspelt would silence more than was meant."""
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields) - {"source", "entity_id", "entity_type"})
            if unknown:
                hint = "is not a field of a silence; filters stand in matchers"
                raise serializers.ValidationError(dict.fromkeys(unknown, [hint]))
            loose = {name: data[name] for name in ("source", "entity_id", "entity_type") if name in data}
            if loose:
                data = {name: value for name, value in data.items() if name not in loose}
                data["matchers"] = {**(data.get("matchers") or {}), **loose}
        return super().to_internal_value(data)


class WhyStepSerializer(serializers.Serializer[Any]):
    """One step of the story."""

    step = serializers.ChoiceField(
        [
            "seen",
            "condition",
            "opened",
            "silence",
            "maintenance",
            "flapping",
            "dependency",
            "routing",
            "delivery",
            "end",
        ]
    )
    outcome = serializers.ChoiceField(["passed", "held", "suppressed", "told", "failed", "info"])
    at = serializers.DateTimeField(allow_null=True)
    text = serializers.CharField()
    details = serializers.DictField(child=serializers.JSONField())


class WhySerializer(serializers.Serializer[Any]):
    """Why people were told of an alert, or why not."""

    alert_id = serializers.UUIDField()
    summary = serializers.CharField()
    steps = WhyStepSerializer(many=True)
