"""Events and the state of those who read them."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id


class Event(models.Model):
    """Something happened. Append-only but for retention; the audit trail and every subscriber read this table.

    `id` is internal and follows inserts; `seq` follows commits and is what the world outside the database speaks.
    """

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=new_id)
    seq = models.BigIntegerField(null=True, unique=True)
    name = models.CharField(max_length=64)
    subject_kind = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=128)
    subject_name = models.CharField(max_length=255, blank=True)
    level = models.CharField(max_length=16, default="info")
    tags = models.JSONField(default=list)
    audience = models.JSONField(default=dict)
    data = models.JSONField(default=dict)
    audit = models.JSONField(default=dict)
    actor = models.JSONField(default=dict)
    actor_name = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="event_unsequenced", condition=Q(seq__isnull=True)),
            models.Index(fields=["name", "seq"], name="event_name_seq"),
            models.Index(fields=["subject_kind", "subject_id", "seq"], name="event_subject_seq"),
            models.Index(fields=["at"], name="event_at"),
            models.Index(fields=["actor_name", "id"], name="event_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.subject_kind}:{self.subject_id}"


class ReaderCursor(models.Model):
    """How far a durable reader has come, and which fact it stumbles over."""

    name = models.CharField(max_length=64, primary_key=True)
    seq = models.BigIntegerField(default=0)
    failing_seq = models.BigIntegerField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    last_error = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name}@{self.seq}"


class SetAsideFact(models.Model):
    """A fact that a reader failed on three times; shown to people, skipped by the reader."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reader = models.CharField(max_length=64)
    seq = models.BigIntegerField()
    event_name = models.CharField(max_length=64)
    error = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reader", "seq"], name="one_set_aside_per_reader_and_fact")]

    def __str__(self) -> str:
        return f"{self.reader}@{self.seq}"
