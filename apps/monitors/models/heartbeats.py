"""Heartbeats: what is expected of a job, how it stands now, what it sent and how it ran."""

import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.core.models import EditableModel, Tag
from apps.monitors.models.ping_keys import PingKey
from apps.monitors.querysets.heartbeats import HeartbeatQuerySet
from apps.monitors.states.heartbeats import NEW, PAUSED, RUNNING


class Heartbeat(EditableModel):
    """A job that reports by itself; silence past its deadline is the alarm.

    `uuid` is the credential of the ping address: random, never an id of the API's other paths. `num` is the key of the
    telemetry tables.
    """

    INTERVAL, CRON, CALENDAR = "interval", "cron", "calendar"
    #: what a success becomes whose body holds none of the keywords
    AS_SUCCESS, AS_FAIL, AS_LOG = "success", "fail", "log"

    num = models.BigIntegerField(unique=True, editable=False)
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    kind = models.CharField(
        max_length=16, choices=[(name, name) for name in (INTERVAL, CRON, CALENDAR)], default=INTERVAL
    )
    interval_seconds = models.PositiveIntegerField(null=True, blank=True)
    cron = models.CharField(max_length=128, blank=True)  # five fields, or a systemd calendar
    timezone = models.CharField(max_length=64, default="UTC")
    grace_seconds = models.PositiveIntegerField(default=60)
    early_seconds = models.PositiveIntegerField(default=0)
    max_runtime_seconds = models.PositiveIntegerField(null=True, blank=True)
    resume_on_ping = models.BooleanField(default=False)
    slug = models.CharField(max_length=100, blank=True)  # its name below a ping key
    ping_key = models.ForeignKey(PingKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="heartbeats")
    #: whether one of the rules below is set; all that a ping without rules has to read of them
    has_rules = models.BooleanField(default=False, editable=False)
    expected_pings = models.PositiveSmallIntegerField(default=0)  # successes that make a run complete; 0: one, any
    expected_sources = models.JSONField(default=list, blank=True)  # their names, where they are told apart
    failure_keywords = models.JSONField(default=list, blank=True)
    success_keywords = models.JSONField(default=list, blank=True)
    start_keywords = models.JSONField(default=list, blank=True)
    otherwise = models.CharField(max_length=8, default=AS_SUCCESS)
    tags = models.ManyToManyField(Tag, blank=True, related_name="heartbeats")

    objects: ClassVar[Any] = HeartbeatQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [
            models.Index(fields=["name", "id"], name="heartbeat_name"),
            models.Index(fields=["ping_key", "slug"], name="heartbeat_slug"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_paused(self) -> bool:
        """Return whether nobody waits for its pings now."""
        return self.state.status == PAUSED


class HeartbeatState(models.Model):
    """How a heartbeat stands; written by pings and by the sweep, never by people's edits alone."""

    heartbeat = models.OneToOneField(Heartbeat, on_delete=models.CASCADE, primary_key=True, related_name="state")
    #: revision of the configuration that the times below were computed from
    config_revision = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=16, default=NEW)
    since = models.DateTimeField()
    last_ping_at = models.DateTimeField(null=True)
    next_due_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)  # due time + grace; null: nothing is expected
    run_deadline = models.DateTimeField(null=True)  # when the oldest open run is over its time
    wake_at = models.DateTimeField(null=True)  # when the sweep must look next; the only column it searches
    last_start_at = models.DateTimeField(null=True)
    open_runs = models.PositiveIntegerField(default=0)
    last_duration_ms = models.BigIntegerField(null=True)
    ping_count = models.BigIntegerField(default=0)
    last_exit_code = models.PositiveSmallIntegerField(null=True)
    alerting = models.BooleanField(default=False)
    fault = models.CharField(max_length=300, blank=True, default="", db_default="")  # why its state is unknown
    down_since = models.DateTimeField(null=True)
    missed_until = models.DateTimeField(null=True)  # missed slots are counted up to here
    consecutive_failures = models.PositiveIntegerField(default=0)
    log_minute = models.BigIntegerField(default=0)  # epoch minute of log_count
    log_count = models.PositiveIntegerField(default=0)
    day = models.IntegerField(default=0)  # UTC day since the epoch that the three counters belong to
    day_ok = models.PositiveIntegerField(default=0)
    day_failed = models.PositiveIntegerField(default=0)
    day_missed = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["wake_at"], name="heartbeat_wake", condition=Q(wake_at__isnull=False)),
            models.Index(fields=["status"], name="heartbeat_status"),
        ]

    def __str__(self) -> str:
        return f"{self.heartbeat_id}: {self.status}"


class HeartbeatWindow(models.Model):
    """Which of several expected pings have come; kept only for heartbeats that expect several."""

    heartbeat = models.OneToOneField(Heartbeat, on_delete=models.CASCADE, primary_key=True, related_name="window")
    seen = models.JSONField(default=list)  # names of the sources that have come for this run; "" for one without
    last = models.JSONField(default=dict)  # name -> epoch ms of its last success

    def __str__(self) -> str:
        return f"{self.heartbeat_id}: {len(self.seen)} seen"


class Ping(models.Model):
    """One logged ping. Telemetry: key (num, at, n), `n` being the heartbeat's count of accepted pings."""

    SUCCESS, START, FAIL, LOG = "success", "start", "fail", "log"

    pk = models.CompositePrimaryKey("num", "at", "n")
    num = models.BigIntegerField()
    at = models.BigIntegerField()  # epoch ms
    n = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    exit_code = models.PositiveSmallIntegerField(null=True)
    method = models.CharField(max_length=8)
    remote_addr = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    rid = models.UUIDField(null=True)
    body = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["at"], name="ping_at")]

    def __str__(self) -> str:
        return f"{self.num}@{self.at}: {self.kind}"

    @property
    def time(self) -> datetime:
        """Return when it arrived."""
        return of_ms(self.at)


class Run(models.Model):
    """One execution, paired from its start and its end. Telemetry: key (num, at, n) of the ping that began it."""

    pk = models.CompositePrimaryKey("num", "at", "n")
    num = models.BigIntegerField()
    at = models.BigIntegerField()  # epoch ms of the start
    n = models.BigIntegerField()
    rid = models.UUIDField(null=True)
    finished_at = models.BigIntegerField(null=True)  # epoch ms
    end_n = models.BigIntegerField(null=True)  # n of the ping that ended it
    duration_ms = models.BigIntegerField(null=True)
    exit_code = models.PositiveSmallIntegerField(null=True)
    result = models.CharField(max_length=8, default=RUNNING)

    class Meta:
        indexes = [
            models.Index(fields=["at"], name="run_at"),
            models.Index(fields=["num", "at"], name="run_open", condition=Q(result=RUNNING)),
        ]

    def __str__(self) -> str:
        return f"{self.num}@{self.at}: {self.result}"


class HeartbeatDay(models.Model):
    """What one UTC day brought: runs that were fine, that failed, and that never came."""

    pk = models.CompositePrimaryKey("num", "day")
    num = models.BigIntegerField()
    day = models.IntegerField()  # UTC day since the epoch
    ok = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    maintenance = models.PositiveIntegerField(default=0, db_default=0)  # did not come while a window was open
    unknown = models.PositiveIntegerField(default=0, db_default=0)  # fell into a time in which nobody could report

    class Meta:
        indexes = [models.Index(fields=["day"], name="heartbeat_day_day")]

    def __str__(self) -> str:
        return f"{self.num} on day {self.day}"


def to_ms(at: datetime) -> int:
    """Return epoch milliseconds."""
    return int(at.timestamp() * 1000)


def of_ms(ms: int) -> datetime:
    """Return the time of epoch milliseconds, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
