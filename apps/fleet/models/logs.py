"""Log lines, how much of them each server has, and the rules that watch them."""

from django.db import models
from django.db.models import Q

from apps.core.models import EditableModel
from apps.fleet.models.servers import Server
from apps.fleet.querysets import LogEntryQuerySet, LogRuleQuerySet
from apps.fleet.states import LogLevel, LogSource

#: The low bits of a line's id tell lines of one millisecond apart; the high ones are its time in epoch ms.
ID_BITS = 20


class LogEntry(models.Model):
    """One line. Its id is its time (epoch ms, shifted) and a running number: the newest have the largest ids.

    The full-text index (`fleet_logsearch` with triggers on SQLite, the column `words` on PostgreSQL) belongs to this
    table and is made by the migration: one that makes the table anew on SQLite must make the triggers again.
    """

    id = models.BigIntegerField(primary_key=True)
    num = models.IntegerField()  # of the server
    received_at = models.BigIntegerField()  # epoch ms
    sent_at = models.BigIntegerField(null=True)  # the sender's time where it was too far ahead to be believed
    level = models.SmallIntegerField(choices=LogLevel.choices)
    source = models.SmallIntegerField(choices=LogSource.choices)
    source_name = models.CharField(max_length=200, blank=True)
    message = models.TextField()
    fields = models.TextField(default="{}")  # JSON, text to text
    is_cut = models.BooleanField(default=False)
    size = models.IntegerField()  # bytes, as the limits count them
    mark = models.BigIntegerField(null=True)  # digest of the sender's own id of it: sent twice, stored once

    objects = LogEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["num", "mark"], condition=Q(mark__isnull=False), name="logentry_once")
        ]
        indexes = [
            models.Index(fields=["num", "id"], name="logentry_server"),
            models.Index(fields=["source_name", "id"], name="logentry_source"),
            # What people look for is rare: without these they would wait for all that is not.
            models.Index(fields=["level", "id"], condition=Q(level__gte=30), name="logentry_bad"),
            models.Index(fields=["source_name", "level", "id"], condition=Q(level__gte=30), name="logentry_bad_source"),
        ]

    def __str__(self) -> str:
        return f"{self.num}@{self.id >> ID_BITS}"


class LogState(models.Model):
    """How much of a server's log is kept. Its row is locked by whoever writes lines of the server."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="log_state")
    lines = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    newest_at = models.BigIntegerField(null=True)  # epoch ms, of the line that came last

    def __str__(self) -> str:
        return f"log of {self.server_id}"


class LogFollower(models.Model):
    """Somebody follows the log live until then; nothing is published while nobody does."""

    id = models.UUIDField(primary_key=True)
    until = models.BigIntegerField(db_index=True)  # epoch ms

    def __str__(self) -> str:
        return f"{self.id} until {self.until}"


class LogRule(EditableModel):
    """An alert where lines of a pattern come too often."""

    class Kind(models.TextChoices):
        """How the pattern is written."""

        WORDS = "words", "Words"
        REGEX = "regex", "Regular expression"

    class Severity(models.TextChoices):
        """Level of the alert."""

        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, null=True, blank=True, related_name="log_rules")
    tag = models.CharField(max_length=64, blank=True)  # of servers; "": all
    source = models.CharField(max_length=8, blank=True)
    source_name = models.CharField(max_length=200, blank=True)
    levels = models.JSONField(default=list)  # of the lines; empty: all
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.WORDS)
    pattern = models.CharField(max_length=500, blank=True)  # "": every line
    count = models.PositiveIntegerField(default=1)
    window_s = models.PositiveIntegerField(default=300)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    quiet_s = models.PositiveIntegerField(default=600)
    problem = models.CharField(max_length=300, blank=True)  # why it was switched off by itself

    objects = LogRuleQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["name", "id"], name="logrule_name")]  # the list's order

    def __str__(self) -> str:
        return self.name


class LogRuleState(models.Model):
    """What a rule has seen of one server; written with the lines themselves, so that each counts once."""

    rule = models.ForeignKey(LogRule, on_delete=models.CASCADE, related_name="states")
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="log_rule_states")
    times = models.TextField(default="[]")  # JSON: epoch ms of the latest lines that match, sorted
    matched = models.BigIntegerField(default=0)  # since the alert was opened
    matched_at = models.BigIntegerField(default=0)  # epoch ms; when the last one came
    is_open = models.BooleanField(default=False)
    opened_at = models.BigIntegerField(null=True)
    told_at = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "server"], name="logrulestate_one")]
        indexes = [models.Index(fields=["is_open", "matched_at"], name="logrulestate_quiet")]  # the sweep

    def __str__(self) -> str:
        return f"{self.rule_id} on {self.server_id}"
