"""Shapes of maintenance windows."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.monitors.models import MaintenanceWindow
from apps.monitors.querysets.maintenance import ACTIVE, COMPLETED, UPCOMING
from apps.monitors.services.maintenance_windows import next_occurrences


class TargetSerializer(serializers.Serializer[Any]):
    """A single thing."""

    kind = serializers.CharField(help_text="endpoint, heartbeat, certificate, server")
    id = serializers.CharField()


class OccurrenceSerializer(serializers.Serializer[Any]):
    """One opening of a window."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class MaintenanceSerializer(serializers.Serializer[MaintenanceWindow]):
    """A maintenance window as the API shows it."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.CharField(help_text="once, weekly or cron")
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    weekdays = serializers.ListField(child=serializers.IntegerField(), help_text="0 is Monday")
    start_time = serializers.TimeField(allow_null=True)
    duration_s = serializers.IntegerField(allow_null=True, help_text="on the wall clock of the zone")
    cron = serializers.CharField()
    timezone = serializers.CharField()
    all_targets = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())
    targets = serializers.SerializerMethodField()
    enabled = serializers.BooleanField()
    state = serializers.SerializerMethodField()
    occurrences = serializers.SerializerMethodField(help_text="the open one and those that follow, at most five")
    fault = serializers.CharField(help_text="why its times can't be worked out; empty where they can")
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field(TargetSerializer(many=True))
    def get_targets(self, window: MaintenanceWindow) -> list[dict[str, str]]:
        """Return the single things."""
        return [{"kind": kind, "id": pk} for kind, pk in window.targets]

    @extend_schema_field({"type": "string", "enum": [UPCOMING, ACTIVE, COMPLETED]})
    def get_state(self, window: MaintenanceWindow) -> str:
        """Return how it stands; one that is off is completed."""
        return state_of(window)

    @extend_schema_field(OccurrenceSerializer(many=True))
    def get_occurrences(self, window: MaintenanceWindow) -> list[dict[str, Any]]:
        """Return what comes."""
        found = next_occurrences(window)
        return [{"starts_at": one.starts_at, "ends_at": one.ends_at} for one in found]


def state_of(window: MaintenanceWindow) -> str:
    """Return upcoming, active or completed, as the list's filter has it."""
    now = timezone.now()
    if window.running_since is not None and window.running_until is not None and now < window.running_until:
        return ACTIVE
    return UPCOMING if window.enabled and window.next_change_at is not None else COMPLETED


class MaintenanceWriteSerializer(serializers.Serializer[Any]):
    """A maintenance window as it is sent."""

    title = serializers.CharField(max_length=255, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    kind = serializers.CharField(required=False, help_text="once (the default), weekly or cron")
    starts_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="of a recurring window: its first moment; may be absent"
    )
    ends_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="of a recurring window: its last moment; may be absent"
    )
    weekdays = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True, help_text="0 (Monday) to 6, or names"
    )
    start_time = serializers.CharField(required=False, allow_null=True, allow_blank=True, help_text="02:30")
    duration_s = serializers.JSONField(required=False, allow_null=True, help_text="seconds, or a text such as 2h")
    cron = serializers.CharField(required=False, allow_null=True, allow_blank=True)
    timezone = serializers.CharField(required=False, help_text="IANA, e.g. Europe/Berlin; UTC if absent")
    all_targets = serializers.BooleanField(required=False)
    tags = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=100)
    targets = TargetSerializer(many=True, required=False)
    enabled = serializers.BooleanField(required=False)
