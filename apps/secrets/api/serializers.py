"""Shapes of the vault in the API. None holds a value but the revealed one."""

import math
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.fields import MASK
from apps.secrets.generation import ALPHABETS, KINDS, LEAST_LENGTH, MOST_LENGTH, RSA_BITS
from apps.secrets.models import Secret, SecretUse, SecretVersion


class ReferenceSerializer(serializers.Serializer[Any]):
    """A thing that uses a secret."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()


class SecretVersionSerializer(serializers.ModelSerializer[SecretVersion]):
    """A version of a secret, without its value."""

    current = serializers.SerializerMethodField()

    class Meta:
        model = SecretVersion
        fields = ("number", "current", "public_part", "created_at", "created_by", "readable_until", "wiped_at")
        read_only_fields = fields

    def get_current(self, version: SecretVersion) -> bool:
        """Return whether it is the one in use."""
        return version.readable_until is None


class SecretUseSerializer(serializers.ModelSerializer[SecretUse]):
    """For what a secret was used."""

    class Meta:
        model = SecretUse
        fields = ("purpose", "actor_name", "times", "first_at", "last_at")
        read_only_fields = fields


class SecretSerializer(serializers.ModelSerializer[Secret]):
    """A secret without its value."""

    value = serializers.SerializerMethodField(
        method_name="shown_value", help_text="Always ***; `GET /secrets/{id}?reveal=true` shows it."
    )
    public_part = serializers.SerializerMethodField(help_text="Of a key pair: the public key, for authorized_keys.")
    days_until_expiry = serializers.SerializerMethodField(help_text="Negative once it has ended; null without an end.")
    used_by = serializers.SerializerMethodField(help_text="Things that use it; it can't be removed while there are.")

    class Meta:
        model = Secret
        fields = (
            "id", "name", "category", "description", "value", "version", "public_part", "generator", "grace_s",
            "expires_at", "days_until_expiry", "rotated_at", "rotated_by", "last_used_at", "uses", "used_by",
            "revision", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    def shown_value(self, secret: Secret) -> str:
        """Return the mask."""
        return MASK

    def get_public_part(self, secret: Secret) -> str:
        """Return the public part of the current value."""
        return str(self.context.get("public_parts", {}).get(secret.pk, ""))

    def get_days_until_expiry(self, secret: Secret) -> int | None:
        """Return whole days, rounded down."""
        if secret.expires_at is None:
            return None
        return math.floor((secret.expires_at - timezone.now()).total_seconds() / 86_400)

    @extend_schema_field(ReferenceSerializer(many=True))
    def get_used_by(self, secret: Secret) -> list[dict[str, Any]]:
        """Return the things that use it."""
        found: Mapping[Any, Any] = self.context.get("used_by", {})
        return [one._asdict() for one in found.get(secret.pk, ())]


class SecretDetailSerializer(SecretSerializer):
    """A secret with its versions and latest uses."""

    versions = SecretVersionSerializer(many=True, read_only=True)
    used_for = serializers.SerializerMethodField(help_text="The twenty latest purposes.")

    class Meta(SecretSerializer.Meta):
        fields = (*SecretSerializer.Meta.fields, "versions", "used_for")  # type: ignore[assignment]

    @extend_schema_field(SecretUseSerializer(many=True))
    def get_used_for(self, secret: Secret) -> Any:
        """Return the latest purposes."""
        return SecretUseSerializer(secret.used.order_by("-last_at")[:20], many=True).data


class SecretRevealedSerializer(SecretDetailSerializer):
    """As without `reveal`, with the value asked for."""

    value = serializers.SerializerMethodField(
        method_name="shown_value", help_text="The value itself where `reveal=true`, *** otherwise."
    )
    revealed_version = serializers.SerializerMethodField(help_text="Null where nothing is shown.")

    class Meta(SecretDetailSerializer.Meta):
        fields = (*SecretDetailSerializer.Meta.fields, "revealed_version")  # type: ignore[assignment]

    def shown_value(self, secret: Secret) -> str:
        """Return the value that is to be shown."""
        shown: SecretVersion | None = self.context.get("revealed")
        return shown.value if shown else MASK

    def get_revealed_version(self, secret: Secret) -> int | None:
        """Return the number of the version that is shown."""
        shown: SecretVersion | None = self.context.get("revealed")
        return shown.number if shown else None


class GeneratorSerializer(serializers.Serializer[Any]):
    """How a value is made."""

    kind = serializers.ChoiceField(choices=KINDS, default="random")
    length = serializers.IntegerField(
        required=False, default=32, min_value=LEAST_LENGTH, max_value=MOST_LENGTH, help_text="Of random ones."
    )
    alphabet = serializers.CharField(
        required=False, default="letters_digits", help_text=f"Of random ones: {', '.join(ALPHABETS)}, or characters."
    )
    bits = serializers.ChoiceField(choices=RSA_BITS, required=False, default=3072, help_text="Of RSA keys.")


class SecretChangeSerializer(serializers.Serializer[Any]):
    """What of a secret is changed; what is left out stays."""

    name = serializers.CharField(max_length=100, required=False)
    value = serializers.CharField(required=False, help_text="A new value rotates the secret; *** keeps it.")
    category = serializers.ChoiceField(choices=Secret.Category.choices, required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    grace_s = serializers.IntegerField(
        required=False, allow_null=True, help_text="Seconds a former value stays readable, or 12h; null: the setting."
    )


class NewSecretSerializer(SecretChangeSerializer):
    """A new secret: give its value, or have it made."""

    name = serializers.CharField(max_length=100)
    value = serializers.CharField(required=False, help_text="Kept as it is; at least 4 characters. None: it is made.")
    generate = GeneratorSerializer(required=False)


class RotationSerializer(serializers.Serializer[Any]):
    """A new value."""

    value = serializers.CharField(required=False, help_text="None: it is made as the present one was.")
    generate = GeneratorSerializer(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Left out: as it was.")
