"""Bodies and answers of the API."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.core.runtime_settings import parse_duration
from apps.notifications import selectors
from apps.notifications.models import Attempt, Channel, Delivery, Notification, Rule, Webhook

Str = serializers.CharField
Words = serializers.ListField


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "example": "30m"}]})
class DurationField(serializers.Field):
    """Seconds, or a text such as 30m; shown in seconds."""

    def to_internal_value(self, data: Any) -> float:
        try:
            return parse_duration(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: Any) -> Any:
        return value


# --- inbox -----------------------------------------------------------------------------------------------------------


class SubjectSerializer(serializers.Serializer[Any]):
    """What a message is about."""

    kind = Str()
    id = Str()
    name = Str()


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


# --- channels and rules ----------------------------------------------------------------------------------------------


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A channel; without the right to configure channels only id, name, type, enabled and health are shown."""

    health = serializers.SerializerMethodField()
    config = serializers.SerializerMethodField()
    consecutive_failures = serializers.SerializerMethodField()
    last_delivered_at = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields = (
            "id", "name", "type", "enabled", "health", "config", "disabled_reason", "consecutive_failures",
            "last_delivered_at", "last_error", "revision", "created_at", "updated_at",
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


class ChannelBody(serializers.Serializer[Any]):
    """What a channel is made of; the fields of `config` are the type's."""

    name = Str(help_text="Unique.")
    type = Str(default="webhook", help_text="webhook or email.")
    config = serializers.DictField(
        required=False,
        help_text="webhook: url, headers, secret. email: host, port, tls, username, password, from, to. "
        "Credentials read back as ***, and *** keeps what is stored.",
    )
    url = Str(required=False, help_text="Short for config.url.")
    headers = serializers.DictField(required=False, child=Str(), help_text="Short for config.headers.")
    enabled = serializers.BooleanField(default=True)


class FilterSerializer(serializers.Serializer[Any]):
    """Which of the events a rule names go through; empty lists let everything through."""

    level = Words(child=Str(), required=False)
    source = Words(child=Str(), required=False)  # type: ignore[assignment]
    tag = Words(child=Str(), required=False)


class QuietHoursSerializer(serializers.Serializer[Any]):
    """What happens in these hours is told when they end, if it still matters then."""

    start = Str(help_text="22:00")
    end = Str(help_text="07:00")
    timezone = Str(required=False, help_text="IANA zone; UTC where absent.")
    days = Words(child=Str(), required=False, help_text="Days on which they begin: mon … sun; all where absent.")
    except_levels = Words(child=Str(), required=False, help_text="Levels that are told at once; critical where absent.")


class RuleSerializer(serializers.ModelSerializer[Rule]):
    """A routing rule."""

    filter = serializers.SerializerMethodField()
    channel_ids = serializers.SerializerMethodField()
    throttle = serializers.IntegerField(source="throttle_s", help_text="Seconds.")
    escalate_after = serializers.IntegerField(source="escalate_after_s", allow_null=True, help_text="Seconds.")
    quiet_hours = serializers.SerializerMethodField()

    class Meta:
        model = Rule
        fields = (
            "id", "name", "events", "filter", "channel_ids", "inbox", "enabled", "throttle", "quiet_hours",
            "escalate_after", "revision", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {"events": {"help_text": "Names and patterns."}}

    @extend_schema_field(FilterSerializer)
    def get_filter(self, row: Rule) -> dict[str, list[str]]:
        return {"level": row.levels, "source": row.sources, "tag": row.tags}

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
    def get_channel_ids(self, row: Rule) -> list[str]:
        return sorted(str(channel.id) for channel in row.channels.all())

    @extend_schema_field(QuietHoursSerializer(allow_null=True))
    def get_quiet_hours(self, row: Rule) -> dict[str, Any] | None:
        return row.quiet_hours


class RuleBody(serializers.Serializer[Any]):
    """What a rule is made of."""

    name = Str(required=False)
    events = Words(child=Str(), required=False, help_text='Names and patterns, "alert.*".')
    event_types = Words(child=Str(), required=False, help_text="The same as events.")
    filter = FilterSerializer(required=False)
    inbox = serializers.BooleanField(required=False, help_text="Also tell people in their inbox; true where absent.")
    enabled = serializers.BooleanField(required=False)
    throttle = DurationField(
        required=False, allow_null=True, help_text="The same of the same thing at most once in this time."
    )
    quiet_hours = QuietHoursSerializer(required=False, allow_null=True)
    escalate_after = DurationField(
        required=False, allow_null=True, help_text="Tell the channels again when nobody acknowledged by then."
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            for alias, name in (
                ("throttle_s", "throttle"),
                ("escalate_after_s", "escalate_after"),
                ("filters", "filter"),
            ):
                if alias in data:
                    data.setdefault(name, data[alias])
            hours = data.get("quiet_hours")
            if isinstance(hours, dict):
                data["quiet_hours"] = {
                    {"from": "start", "to": "end"}.get(key, key): value for key, value in hours.items()
                }
            chosen = data.get("filter")
            if isinstance(chosen, dict):
                data["filter"] = {key: [value] if isinstance(value, str) else value for key, value in chosen.items()}
        return super().to_internal_value(data)


class FullRuleBody(RuleBody):
    """What a rule of any channels is made of."""

    channel_ids = Words(child=serializers.UUIDField(), required=False)


def rule_values(data: dict[str, Any]) -> dict[str, Any]:
    """Return a rule's body in the services' words."""
    values = dict(data)
    chosen = values.pop("filter", None)
    if chosen is not None:
        values |= {
            name: list(chosen.get(key) or [])
            for key, name in (("level", "levels"), ("source", "sources"), ("tag", "tags"))
        }
    events = values.pop("event_types", None)
    if events is not None:
        values.setdefault("events", events)
    for key in ("throttle", "escalate_after"):
        if key in values:
            values[f"{key}_s"] = values.pop(key)
    return values


# --- webhooks and deliveries -----------------------------------------------------------------------------------------


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """A webhook; its secret is never shown."""

    owner = Str(source="owner.username", read_only=True)
    health = serializers.SerializerMethodField()
    failure_count = serializers.SerializerMethodField()
    last_delivered_at = serializers.SerializerMethodField()
    last_status_code = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()
    secret = serializers.SerializerMethodField()

    class Meta:
        model = Webhook
        fields = (
            "id", "name", "url", "events", "description", "secret", "enabled", "disabled_reason", "owner", "health",
            "failure_count", "last_delivered_at", "last_status_code", "last_error", "previous_secret_until", "revision",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "string", "description": "unknown, healthy or failing."})
    def get_health(self, row: Webhook) -> str:
        return row.state.health if hasattr(row, "state") else "unknown"

    def get_failure_count(self, row: Webhook) -> int:
        return row.state.consecutive_failures if hasattr(row, "state") else 0

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_last_delivered_at(self, row: Webhook) -> Any:
        return row.state.last_delivered_at if hasattr(row, "state") else None

    def get_last_status_code(self, row: Webhook) -> int | None:
        return row.state.last_status_code if hasattr(row, "state") else None

    def get_last_error(self, row: Webhook) -> str:
        return row.state.last_error if hasattr(row, "state") else ""

    @extend_schema_field({"type": "string", "description": "***; the secret itself in the answer that made it."})
    def get_secret(self, row: Webhook) -> str:
        return self.context.get("secret") or "***"


class StatisticsSerializer(serializers.Serializer[Any]):
    """How deliveries went."""

    days = serializers.IntegerField()
    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    delivered = serializers.IntegerField()
    failed = serializers.IntegerField()
    suppressed = serializers.IntegerField()
    attempts = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="Percent.")
    average_latency_ms = serializers.FloatField(allow_null=True)
    last_delivered_at = serializers.DateTimeField(allow_null=True)


class WebhookDetailSerializer(WebhookSerializer):
    """A webhook with its statistics of the last 30 days."""

    statistics = serializers.SerializerMethodField()

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "statistics")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(StatisticsSerializer)
    def get_statistics(self, row: Webhook) -> dict[str, Any]:
        return selectors.delivery_statistics(row.id)


class WebhookBody(serializers.Serializer[Any]):
    """What a webhook is made of."""

    url = Str(help_text="http or https; a private target needs OUTBOUND_ALLOW.")
    events = Words(
        child=Str(), required=False, help_text='Names and patterns: "alert.opened", "task.*", "*" (all facts).'
    )
    name = Str(required=False, allow_blank=True, help_text="The URL's host where absent.")
    description = Str(required=False, allow_blank=True)
    secret = Str(
        required=False,
        allow_blank=True,
        help_text="whsec_ and base64 of 24 to 64 bytes; made and shown once where absent.",
    )
    enabled = serializers.BooleanField(required=False)


class WebhookChange(WebhookBody):
    """What can be changed on a webhook."""

    rotate_secret = serializers.BooleanField(
        required=False, help_text="Make a new secret; the former one signs beside it for a day."
    )


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One try: what was sent, credentials masked, and what the other side said."""

    request = serializers.DictField(read_only=True)

    class Meta:
        model = Attempt
        fields = ("at", "status_code", "latency_ms", "request", "response", "error")
        read_only_fields = fields


@extend_schema_serializer(component_name="Delivery")
class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message to one destination with all its attempts."""

    id = serializers.UUIDField(source="uid", read_only=True)
    event = Str(source="event_name", read_only=True)
    seq = serializers.IntegerField(source="event_seq", read_only=True, allow_null=True)
    subject = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()
    attempt_count = serializers.IntegerField(source="attempts", read_only=True)
    attempts = AttemptSerializer(source="tries", many=True, read_only=True)
    delivered_at = serializers.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Delivery
        fields = (
            "id", "message_id", "event", "seq", "subject", "state", "reason", "attempt_count", "next_attempt_at",
            "created_at", "delivered_at", "payload", "attempts",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {"message_id": {"help_text": "The webhook-id; repeats on every repeat."}}

    @extend_schema_field(SubjectSerializer)
    def get_subject(self, row: Delivery) -> dict[str, str]:
        return {"kind": row.subject_kind, "id": row.subject_id, "name": row.subject_name}

    @extend_schema_field({"type": "string", "description": "pending, sending, delivered, failed or suppressed."})
    def get_state(self, row: Delivery) -> str:
        return row.shown_state

    @extend_schema_field({"type": ["object", "null"], "description": "null where the caller may not see such events."})
    def get_payload(self, row: Delivery) -> Any:
        return selectors.payload_for(self.context["view"].principal(), row)


class TrialSerializer(serializers.Serializer[Any]):
    """What the other side said to a test message."""

    status = Str(help_text="delivered or failed.")
    status_code = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.FloatField(allow_null=True)
    body = Str(help_text="Excerpt of the answer, at most 2 kB.")
    error = Str()
    delivery_id = serializers.UUIDField()
    message_id = Str()
