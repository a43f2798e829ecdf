"""Shapes of the sources of alerts in the API."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.inbound import kinds
from apps.alerts.models import AlertSource, AlertSourceState

#: Stands where the token would: it is not kept.
UNKNOWN_TOKEN = "<token>"


def setup_of(source: AlertSource, token: str = UNKNOWN_TOKEN) -> dict[str, Any]:
    """Return how the other system is told: address, steps and the text to paste."""
    url = f"{settings.PUBLIC_URL}/alerts/in/{token}"
    kind = kinds[source.kind]
    return {"url": url, "steps": kind.steps(), "snippet": kind.snippet(url, token)}


class SourceSetupSerializer(serializers.Serializer[Any]):
    """How the other system is told."""

    url = serializers.CharField(help_text="Address with the token; also `/alerts/in` with `Authorization: Bearer`.")
    steps = serializers.ListField(child=serializers.CharField())
    snippet = serializers.CharField(help_text="To paste over there.")


class SourceStateSerializer(serializers.ModelSerializer[AlertSourceState]):
    """What arrived."""

    last_outcome = serializers.JSONField(help_text="The answer to the latest post that could be read.")

    class Meta:
        model = AlertSourceState
        fields = (
            "posts", "opened", "resolved", "last_received_at", "last_address", "last_outcome", "last_error",
            "last_error_at",
        )  # fmt: skip
        read_only_fields = fields


class SourceSerializer(serializers.ModelSerializer[AlertSource]):
    """A source of alerts."""

    state = SourceStateSerializer(read_only=True)
    resolve_after_s = serializers.IntegerField(
        allow_null=True, required=False,
        help_text="Seconds without news after which an alert is over, or 12h; null: when the sender says so.",
    )  # fmt: skip
    setup = serializers.SerializerMethodField()

    class Meta:
        model = AlertSource
        fields = (
            "id", "name", "kind", "enabled", "default_level", "tags", "tag_labels", "mapping", "resolve_after_s",
            "token_hint", "setup", "state", "revision", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("id", "token_hint", "revision", "created_at", "updated_at")
        extra_kwargs = {
            "default_level": {"required": False, "help_text": "Of alerts that don't say how bad they are."},
            "tags": {"required": False, "help_text": "Every alert of it gets these tags."},
            "tag_labels": {"required": False, "help_text": "Labels that become tags: team gives team:blue."},
            "mapping": {"required": False, "help_text": "Of the generic kind: field -> JSON path."},
        }

    @extend_schema_field(SourceSetupSerializer)
    def get_setup(self, source: AlertSource) -> dict[str, Any]:
        """Return how the other system is told; the token is shown once, when it is made."""
        return setup_of(source)


class NewSourceSerializer(SourceSerializer):
    """A source of alerts with its token, this once."""

    token = serializers.SerializerMethodField(help_text="Shown once; its hash alone is kept.")

    class Meta:
        model = AlertSource
        fields = (*SourceSerializer.Meta.fields, "token")
        read_only_fields = SourceSerializer.Meta.read_only_fields
        extra_kwargs = SourceSerializer.Meta.extra_kwargs

    def get_token(self, source: AlertSource) -> str:
        """Return the token that was made just now."""
        return str(self.context["token"])

    @extend_schema_field(SourceSetupSerializer)
    def get_setup(self, source: AlertSource) -> dict[str, Any]:
        """Return how the other system is told, the token filled in."""
        return setup_of(source, str(self.context["token"]))


class SourceTrialSerializer(serializers.Serializer[Any]):
    """What became of a test alert."""

    alert_id = serializers.UUIDField()
    opened = serializers.BooleanField()
    resolved = serializers.BooleanField()
    level = serializers.CharField()
    told = serializers.BooleanField(help_text="People were told that it opened.")
    reason = serializers.CharField(help_text="Why they were not.")


class PostProblemSerializer(serializers.Serializer[Any]):
    """An alert of a post that was not taken."""

    index = serializers.IntegerField(help_text="Place in the post, from 0.")
    field = serializers.CharField()
    message = serializers.CharField()


class PostedSerializer(serializers.Serializer[Any]):
    """What became of a post."""

    accepted = serializers.IntegerField(help_text="Alerts taken; the next four are parts of it.")
    opened = serializers.IntegerField()
    updated = serializers.IntegerField()
    resolved = serializers.IntegerField()
    ignored = serializers.IntegerField(help_text="Known already, or older than what is known.")
    errors = PostProblemSerializer(many=True)  # type: ignore[assignment]  # a field, taken out of the class by its meta
    warnings = serializers.ListField(child=serializers.CharField())
