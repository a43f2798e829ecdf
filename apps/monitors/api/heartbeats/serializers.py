"""Heartbeats as the API takes and shows them."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.runtime_settings import parse_duration
from apps.monitors.models import Heartbeat, Ping, Run
from apps.monitors.models.heartbeats import of_ms
from apps.monitors.selectors.heartbeats import mail_address, next_runs, ping_url
from apps.monitors.selectors.snippets import snippets
from apps.monitors.states.heartbeats import RUN_RESULTS, STATUSES


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "example": "30m"}]})
class SecondsField(serializers.Field[int, Any, int, Any]):
    """Whole seconds, given as a number or as "30m"; shown as a number."""

    default_error_messages = {"invalid": "give whole seconds or a text such as 30m"}

    def to_internal_value(self, data: Any) -> int:
        """Return the seconds."""
        try:
            seconds = parse_duration(data)
        except (ValueError, TypeError):
            self.fail("invalid")
        if seconds != seconds or not 0 <= seconds < 2**31 or seconds != int(seconds):
            self.fail("invalid")
        return int(seconds)

    def to_representation(self, value: int) -> int:
        """Return the seconds."""
        return value


def _keywords(text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=20, help_text=text
    )


class HeartbeatWriteSerializer(serializers.Serializer[Any]):
    """What people set. Either `interval_seconds` or `cron`."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    interval_seconds = SecondsField(required=False, allow_null=True, help_text="10 or more.")
    cron = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=128,
        help_text="Five fields, or @daily and the like.",
    )  # fmt: skip
    on_calendar = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=128,
        help_text="A systemd calendar in place of `cron`: `Mon..Fri *-*-* 09:00`.",
    )  # fmt: skip
    timezone = serializers.CharField(required=False, max_length=64, help_text="IANA name; the zone of `cron`.")
    grace_seconds = SecondsField(
        required=False, allow_null=True, help_text="How long after the due time it is only late."
    )
    early_seconds = SecondsField(
        required=False, allow_null=True, help_text="A cron run that reports this early counts for the coming slot."
    )
    max_runtime_seconds = SecondsField(required=False, allow_null=True, help_text="A run that takes longer is down.")
    resume_on_ping = serializers.BooleanField(required=False, help_text="A ping resumes it where it is paused.")
    slug = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="Its name below a ping key; made of `name` if empty.",
    )
    ping_key_id = serializers.UUIDField(required=False, allow_null=True, help_text="The ping key it belongs to.")
    expected_pings = serializers.IntegerField(
        required=False, min_value=0, max_value=100, help_text="Successes that make a run complete; 0 or 1: any one."
    )
    expected_sources = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=100,
        help_text="Names of those that must each report (`?source=NAME`).",
    )  # fmt: skip
    failure_keywords = _keywords("A success whose body contains one is a failure.")
    success_keywords = _keywords("A success whose body contains one, and no failure keyword, is a success.")
    start_keywords = _keywords("A success whose body contains one, and none of the others, is a start.")
    otherwise = serializers.ChoiceField(
        choices=("success", "fail", "log"), required=False,
        help_text="What a success is whose body contains no keyword.",
    )  # fmt: skip
    tags = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=32)


class HeartbeatChangeSerializer(HeartbeatWriteSerializer):
    """A change: what is absent stays."""

    name = serializers.CharField(max_length=255, required=False)
    paused = serializers.BooleanField(required=False)


class HeartbeatSerializer(serializers.ModelSerializer[Heartbeat]):
    """A heartbeat and how it stands."""

    ping_url = serializers.SerializerMethodField()
    mail_address = serializers.SerializerMethodField(help_text="Mail to it is a ping; empty where no mail is taken.")
    schedule = serializers.CharField(source="kind", help_text="interval, cron or calendar")
    cron = serializers.SerializerMethodField(help_text="Five fields; empty for an interval or a calendar.")
    on_calendar = serializers.SerializerMethodField(help_text="A systemd calendar; empty for an interval or cron.")
    tags = serializers.SerializerMethodField()
    paused = serializers.BooleanField(source="is_paused")
    status = serializers.ChoiceField(choices=STATUSES, source="state.status")
    status_since = serializers.DateTimeField(source="state.since")
    last_ping_at = serializers.DateTimeField(source="state.last_ping_at", allow_null=True)
    next_due_at = serializers.DateTimeField(source="state.next_due_at", allow_null=True)
    deadline = serializers.DateTimeField(source="state.deadline", allow_null=True, help_text="Due time and grace.")
    last_start_at = serializers.DateTimeField(source="state.last_start_at", allow_null=True)
    open_runs = serializers.IntegerField(source="state.open_runs", help_text="Runs that began and have not ended.")
    last_duration = serializers.SerializerMethodField(help_text="Seconds that the last finished run took.")
    last_duration_ms = serializers.IntegerField(source="state.last_duration_ms", allow_null=True)
    last_exit_code = serializers.IntegerField(source="state.last_exit_code", allow_null=True)
    ping_count = serializers.IntegerField(source="state.ping_count", help_text="All pings ever accepted.")
    alerting = serializers.BooleanField(source="state.alerting")
    down_since = serializers.DateTimeField(source="state.down_since", allow_null=True)
    consecutive_failures = serializers.IntegerField(source="state.consecutive_failures")

    class Meta:
        model = Heartbeat
        fields: tuple[str, ...] = (
            "id", "uuid", "ping_url", "mail_address", "name", "description", "schedule", "interval_seconds", "cron",
            "on_calendar", "timezone", "grace_seconds", "early_seconds", "max_runtime_seconds", "resume_on_ping",
            "slug", "ping_key_id", "expected_pings", "expected_sources", "failure_keywords", "success_keywords",
            "start_keywords", "otherwise", "tags", "paused", "status",
            "status_since", "last_ping_at", "next_due_at", "deadline", "last_start_at", "open_runs", "last_duration",
            "last_duration_ms", "last_exit_code", "ping_count", "alerting", "down_since", "consecutive_failures",
            "revision", "created_at", "updated_at",
        )  # fmt: skip

    def get_ping_url(self, row: Heartbeat) -> str:
        """Return the address the job calls."""
        return ping_url(row)

    def get_mail_address(self, row: Heartbeat) -> str:
        """Return the address the job writes to."""
        return mail_address(row)

    def get_cron(self, row: Heartbeat) -> str:
        """Return the five fields."""
        return row.cron if row.kind == Heartbeat.CRON else ""

    def get_on_calendar(self, row: Heartbeat) -> str:
        """Return the calendar expression."""
        return row.cron if row.kind == Heartbeat.CALENDAR else ""

    def get_tags(self, row: Heartbeat) -> list[str]:
        """Return the tags' names, sorted."""
        return sorted(tag.name for tag in row.tags.all())

    def get_last_duration(self, row: Heartbeat) -> float | None:
        """Return seconds."""
        return None if row.state.last_duration_ms is None else row.state.last_duration_ms / 1000


class HeartbeatDetailSerializer(HeartbeatSerializer):
    """One heartbeat, with what one needs to set its job up."""

    next_runs = serializers.SerializerMethodField(help_text="The next ten expected times.")
    snippets = serializers.SerializerMethodField(help_text="Texts to copy into the job, by language.")

    class Meta(HeartbeatSerializer.Meta):
        fields = (*HeartbeatSerializer.Meta.fields, "next_runs", "snippets")

    @extend_schema_field(serializers.ListField(child=serializers.DateTimeField()))
    def get_next_runs(self, row: Heartbeat) -> list[str]:
        """Return the next expected times."""
        return [run.isoformat().replace("+00:00", "Z") for run in next_runs(row)]

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_snippets(self, row: Heartbeat) -> dict[str, str]:
        """Return the texts to copy."""
        return snippets(row)


class RunSerializer(serializers.Serializer[Run]):
    """One execution."""

    id = serializers.SerializerMethodField(help_text="Unique within the heartbeat.")
    started_at = serializers.SerializerMethodField()
    finished_at = serializers.SerializerMethodField()
    duration_ms = serializers.IntegerField(allow_null=True)
    exit_code = serializers.IntegerField(allow_null=True)
    result = serializers.ChoiceField(choices=RUN_RESULTS)
    rid = serializers.UUIDField(allow_null=True)
    output = serializers.SerializerMethodField(help_text="The body of the ping that ended it.")

    def get_id(self, row: Run) -> str:
        """Return time and number of the ping that began it."""
        return f"{row.at}-{row.n}"

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_started_at(self, row: Run) -> Any:
        """Return when it began."""
        return serializers.DateTimeField().to_representation(of_ms(row.at))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_finished_at(self, row: Run) -> Any:
        """Return when it ended, null while it runs and where it never did."""
        return (
            None if row.finished_at is None else serializers.DateTimeField().to_representation(of_ms(row.finished_at))
        )

    def get_output(self, row: Run) -> str:
        """Return the last lines of what it printed, as far as the job sent them."""
        return str(self.context.get("outputs", {}).get((row.finished_at, row.end_n), ""))


class PingSerializer(serializers.Serializer[Ping]):
    """One logged ping."""

    n = serializers.IntegerField(help_text="The heartbeat's count of pings at this one.")
    at = serializers.DateTimeField(source="time")
    kind = serializers.ChoiceField(choices=("success", "start", "fail", "log"))
    exit_code = serializers.IntegerField(allow_null=True)
    method = serializers.CharField()
    remote_addr = serializers.CharField()
    user_agent = serializers.CharField()
    rid = serializers.UUIDField(allow_null=True)
    body = serializers.CharField()


class HeartbeatDaySerializer(serializers.Serializer[Any]):
    """One UTC day."""

    date = serializers.DateField()
    uptime_percent = serializers.FloatField(
        allow_null=True, help_text="Share of the runs that were fine; null without any."
    )
    runs = serializers.IntegerField(help_text="Runs reported and runs that never came.")
    ok = serializers.IntegerField()
    failed = serializers.IntegerField()
    missed = serializers.IntegerField()
