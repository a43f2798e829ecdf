"""What the doctor says of a heartbeat, and what a schedule would do before it is saved."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, clean
from apps.core.errors import NotFound
from apps.monitors.api.heartbeats.serializers import SecondsField
from apps.monitors.models import Heartbeat
from apps.monitors.selectors.doctor import diagnose, local_times
from apps.monitors.services.heartbeat_rules import preview


class NextRunSerializer(serializers.Serializer[Any]):
    """An expected time."""

    at = serializers.DateTimeField(help_text="In UTC.")
    local = serializers.CharField(help_text="What the clock of the heartbeat's zone shows, with its offset.")


class OffsetSerializer(serializers.Serializer[Any]):
    """A steady distance between the expected and the actual times."""

    seconds = serializers.IntegerField(help_text="Actual minus expected; positive is late.")
    runs = serializers.IntegerField(help_text="How many runs in a row agree.")
    zones = serializers.ListField(child=serializers.CharField(), help_text="IANA names, the likeliest first.")
    sentence = serializers.CharField()


class SuggestionSerializer(serializers.Serializer[Any]):
    """Values that fit the recorded runs better; null where the present one fits."""

    sentence = serializers.CharField()
    grace_seconds = serializers.IntegerField(allow_null=True)
    interval_seconds = serializers.IntegerField(allow_null=True)
    early_seconds = serializers.IntegerField(allow_null=True)


class DownSerializer(serializers.Serializer[Any]):
    """A time in which it was down."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="Null while it is.")
    reason = serializers.ChoiceField(choices=("missed", "failed"))
    sentence = serializers.CharField()


class DiagnosisSerializer(serializers.Serializer[Any]):
    """What can be said of a heartbeat."""

    summary = serializers.CharField(help_text="What its state means; of a down, why.")
    schedule = serializers.CharField(help_text="The schedule in words.")
    timezone = serializers.CharField()
    next_runs = NextRunSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    offset = OffsetSerializer(allow_null=True)
    suggestion = SuggestionSerializer(allow_null=True)
    downs = DownSerializer(many=True, help_text="Newest first, as far as the log of facts reaches back.")


class PreviewRequestSerializer(serializers.Serializer[Any]):
    """A schedule that is not saved: an interval, a cron expression or a calendar."""

    interval_seconds = SecondsField(required=False, allow_null=True)
    cron = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=128)
    on_calendar = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=128)
    timezone = serializers.CharField(required=False, max_length=64)
    grace_seconds = SecondsField(required=False, allow_null=True)
    early_seconds = SecondsField(required=False, allow_null=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """What a schedule would do."""

    schedule = serializers.CharField(help_text="The schedule in words.")
    timezone = serializers.CharField()
    next_runs = NextRunSerializer(many=True, help_text="Ten; an interval counts from now.")
    period_seconds = serializers.IntegerField(help_text="The shortest time between two of the coming runs.")
    grace_seconds = serializers.IntegerField(help_text="As given, else as it would be chosen.")
    early_seconds = serializers.IntegerField(help_text="As given, else as it would be chosen.")
    warnings = serializers.ListField(child=serializers.CharField())


class DoctorView(ApiView):
    """The doctor of one heartbeat."""

    codes: ClassVar[dict[str, str]] = {"get": "heartbeats:view"}

    @extend_schema(
        operation_id="heartbeats_doctor",
        summary="What it will do, what its runs say, and why it was down",
        parameters=[OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses=DiagnosisSerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return the next ten runs in the job's own zone, a steady offset with the likely zones, values that fit the
        runs better, and one sentence for each time it was down.
        """
        return Response(DiagnosisSerializer(diagnose(heartbeat_of(self, id))).data)


class PreviewView(ApiView):
    """A schedule before it is saved."""

    codes: ClassVar[dict[str, str]] = {"post": "heartbeats:view"}

    @extend_schema(
        operation_id="heartbeats_preview",
        summary="What a schedule would do",
        request=PreviewRequestSerializer,
        responses=PreviewSerializer,
        examples=[
            OpenApiExample(
                "Nightly", value={"cron": "30 2 * * *", "timezone": "Europe/Berlin"}, request_only=True
            )
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Return the next ten runs and what to know about them: months without a run, changes of the clock. Nothing
        is saved.
        """
        schedule, seen = preview(clean(PreviewRequestSerializer, request.data))
        return Response(
            PreviewSerializer(
                {
                    "schedule": seen.words,
                    "timezone": schedule.timezone,
                    "next_runs": local_times(seen.runs, schedule.timezone),
                    "period_seconds": seen.period_s,
                    "grace_seconds": seen.grace_seconds,
                    "early_seconds": seen.early_seconds,
                    "warnings": seen.warnings,
                }
            ).data
        )


def heartbeat_of(view: ApiView, id: str) -> Heartbeat:
    """Return the heartbeat of that id with state and tags.

    Raises:
        NotFound: none among those the caller may see (404).
    """
    try:
        return Heartbeat.objects.all().visible_to(view.principal()).with_state().get(id=id)
    except (Heartbeat.DoesNotExist, ValidationError) as error:
        raise NotFound("There is no such heartbeat, or you may not see it.") from error
