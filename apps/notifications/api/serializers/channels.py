"""Channels."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notifications import selectors
from apps.notifications.api.serializers.common import (
    DigestSerializer,
    DurationField,
    QuietHoursSerializer,
    Str,
    with_end_names,
)
from apps.notifications.models import Channel


class ManyLines(serializers.CharField):
    """A text that may have lines."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_blank=True, trim_whitespace=False, **kwargs)


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A channel; without the right to configure channels only id, name, type, enabled and health are shown."""

    health = serializers.SerializerMethodField()
    config = serializers.SerializerMethodField()
    consecutive_failures = serializers.SerializerMethodField()
    last_delivered_at = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()
    fallback_id = serializers.UUIDField(read_only=True, allow_null=True)
    most_per = serializers.IntegerField(source="most_per_s", help_text="Seconds.")
    quiet_hours = serializers.SerializerMethodField()
    digest = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields = (
            "id", "name", "type", "enabled", "health", "config", "disabled_reason", "consecutive_failures",
            "last_delivered_at", "last_error", "fallback_id", "most_messages", "most_per", "quiet_hours", "digest",
            "title_template", "body_template", "template_error", "revision", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    SHORT = ("id", "name", "type", "enabled", "health")

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if self.context.get("short"):
            return {name: fields[name] for name in self.SHORT}
        for name, field in fields.items():
            if name not in self.SHORT:
                field.required = False
        return fields

    @extend_schema_field({"type": "string", "description": "unknown, healthy or failing."})
    def get_health(self, row: Channel) -> str:
        return row.state.health if hasattr(row, "state") else "unknown"

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_config(self, row: Channel) -> dict[str, Any]:
        return selectors.masked_config(row)

    def get_consecutive_failures(self, row: Channel) -> int:
        return row.state.consecutive_failures if hasattr(row, "state") else 0

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_last_delivered_at(self, row: Channel) -> Any:
        return row.state.last_delivered_at if hasattr(row, "state") else None

    def get_last_error(self, row: Channel) -> str:
        return row.state.last_error if hasattr(row, "state") else ""

    @extend_schema_field(QuietHoursSerializer(allow_null=True))
    def get_quiet_hours(self, row: Channel) -> dict[str, Any] | None:
        return row.quiet_hours

    @extend_schema_field(DigestSerializer(allow_null=True))
    def get_digest(self, row: Channel) -> dict[str, Any] | None:
        return row.digest


class ChannelBody(serializers.Serializer[Any]):
    """What a channel is made of; the fields of `config` are the type's."""

    name = Str(help_text="Unique.")
    type = Str(default="webhook", help_text="One of those that GET /api/v1/channels/types lists.")
    config = serializers.DictField(
        required=False,
        help_text="GET /api/v1/channels/types lists the fields of each type. Credentials read back as ***, and *** "
        "keeps what is stored.",
    )
    url = Str(required=False, help_text="Short for config.url.")
    headers = serializers.DictField(required=False, child=Str(), help_text="Short for config.headers.")
    enabled = serializers.BooleanField(default=True)
    fallback_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Told when this channel fails three times or is disabled."
    )
    most_messages = serializers.IntegerField(
        required=False, help_text="At most so many in `most_per`; the others are told in one summary. 0: no limit."
    )
    most_per = DurationField(required=False, help_text="5m where absent.")
    quiet_hours = QuietHoursSerializer(required=False, allow_null=True)
    digest = DigestSerializer(required=False, allow_null=True)
    title_template = ManyLines(help_text="Title of the messages; the default one where empty.")
    body_template = ManyLines(help_text="Text of the messages; the default one where empty.")

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(with_end_names(data, "quiet_hours") if isinstance(data, dict) else data)


def channel_values(data: dict[str, Any]) -> dict[str, Any]:
    """Return a channel's body in the services' words."""
    values = dict(data)
    short = {name: values.pop(name) for name in ("url", "headers") if name in values}
    if short:
        values["config"] = {**short, **values.get("config", {})}
    if "most_per" in values:
        values["most_per_s"] = values.pop("most_per")
    return values


class TransportFieldSerializer(serializers.Serializer[Any]):
    """One field of a type's configuration."""

    name = Str()
    label = Str()  # type: ignore[assignment]
    kind = Str(help_text="text, url, integer, choice, texts (a list) or headers (name -> value).")
    required = serializers.BooleanField()  # type: ignore[assignment]
    secret = serializers.BooleanField()
    default = serializers.JSONField(allow_null=True)
    choices = serializers.ListField(child=Str())
    help = Str(allow_blank=True)


class TransportSerializer(serializers.Serializer[Any]):
    """A type of channel."""

    type = Str()
    label = Str()  # type: ignore[assignment]
    note = Str(allow_blank=True, help_text="What to know before choosing it.")
    takes_summaries = serializers.BooleanField()
    fields = serializers.SerializerMethodField(method_name="get_described")  # type: ignore[assignment]

    @extend_schema_field(TransportFieldSerializer(many=True))
    def get_described(self, row: Any) -> Any:
        return row["fields"]


class TrialSerializer(serializers.Serializer[Any]):
    """What the other side said to a test message."""

    status = Str(help_text="delivered or failed.")
    status_code = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.FloatField(allow_null=True)
    body = Str(help_text="Excerpt of the answer, at most 2 kB.")
    error = Str()
    delivery_id = serializers.UUIDField()
    message_id = Str()
