"""Fields that several bodies share."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.runtime_settings import parse_duration

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


class SubjectSerializer(serializers.Serializer[Any]):
    """What a message is about."""

    kind = Str()
    id = Str()
    name = Str()


class QuietHoursSerializer(serializers.Serializer[Any]):
    """What happens in these hours is told when they end, in one summary, if it still matters then."""

    start = Str(help_text="22:00")
    end = Str(help_text="07:00")
    timezone = Str(required=False, help_text="IANA zone; UTC where absent.")
    days = Words(child=Str(), required=False, help_text="Days on which they begin: mon … sun; all where absent.")
    except_levels = Words(child=Str(), required=False, help_text="Levels that are told at once; critical where absent.")


class HoursSerializer(serializers.Serializer[Any]):
    """The hours in which a rule counts."""

    start = Str(help_text="08:00")
    end = Str(help_text="18:00")
    timezone = Str(required=False, help_text="IANA zone; UTC where absent.")
    days = Words(child=Str(), required=False, help_text="Days on which they begin: mon … sun; all where absent.")


class DigestSerializer(serializers.Serializer[Any]):
    """Messages that are gathered and told together: every so often, or at a time of day on some days."""

    every = DurationField(required=False, help_text="30m: at :00 and :30 of the clock.")
    every_s = serializers.IntegerField(required=False, help_text="The same in seconds, as it is shown.")
    at = Str(required=False, help_text="08:00")
    timezone = Str(required=False, help_text="IANA zone of whoever reads it; UTC where absent.")
    days = Words(child=Str(), required=False, help_text="mon … sun; every day where absent, one of them for weekly.")
    except_levels = Words(child=Str(), required=False, help_text="Levels that are told at once; none where absent.")


def with_end_names(data: dict[str, Any], *fields: str) -> dict[str, Any]:
    """Return a body in which `from` and `to` of hours are called start and end."""
    data = dict(data)
    for field in fields:
        if isinstance(data.get(field), dict):
            data[field] = {{"from": "start", "to": "end"}.get(key, key): value for key, value in data[field].items()}
    return data
