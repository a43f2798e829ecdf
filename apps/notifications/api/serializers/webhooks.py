"""Webhooks and the ledger of deliveries."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.notifications import selectors
from apps.notifications.api.serializers.common import Str, SubjectSerializer, Words
from apps.notifications.models import Attempt, Delivery, Webhook


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
    attempts = serializers.SerializerMethodField()
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

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, row: Delivery) -> Any:
        shown = AttemptSerializer(row.tries.all(), many=True).data
        if not selectors.may_see_requests(self.context["view"].principal(), row):
            return [{**one, "request": {}} for one in shown]
        return shown

    @extend_schema_field(
        {"type": "string", "description": "pending, sending, delivered, failed, suppressed or bundled (in a summary)."}
    )
    def get_state(self, row: Delivery) -> str:
        return row.shown_state

    @extend_schema_field({"type": ["object", "null"], "description": "null where the caller may not see such events."})
    def get_payload(self, row: Delivery) -> Any:
        return selectors.payload_for(self.context["view"].principal(), row)


@extend_schema_serializer(component_name="LedgerDelivery")
class LedgerSerializer(DeliverySerializer):
    """A delivery with where it went and what it stands with."""

    destination = serializers.SerializerMethodField()
    rule_id = serializers.UUIDField(read_only=True, allow_null=True)
    waits_for = Str(read_only=True, help_text="quiet, digest or limit, of one that is told in a summary; else empty.")
    bundle_id = serializers.UUIDField(source="bundle.uid", read_only=True, allow_null=True, default=None)
    in_place_of_id = serializers.UUIDField(source="in_place_of.uid", read_only=True, allow_null=True, default=None)

    class Meta(DeliverySerializer.Meta):
        fields = (  # type: ignore[assignment]
            *DeliverySerializer.Meta.fields, "kind", "destination", "rule_id", "waits_for", "bundle_id",
            "in_place_of_id",
        )  # fmt: skip
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(SubjectSerializer)
    def get_destination(self, row: Delivery) -> dict[str, str]:
        names = self.context.get("names") or {}
        return {"kind": row.kind, "id": str(row.destination_id), "name": names.get(row.destination_id, "removed")}
