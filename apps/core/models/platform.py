"""Leases, counters, runtime settings, idempotency and the canary of the master key."""

from django.db import models
from django.utils import timezone

from apps.core.fields import SealedTextField


class Lease(models.Model):
    """A named right that one process holds for a time, e.g. to number events."""

    name = models.CharField(max_length=64, primary_key=True)
    owner = models.CharField(max_length=128)
    until = models.DateTimeField()
    last_run_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.owner}"


class Sequence(models.Model):
    """A gap-free counter, e.g. the last event number or the last server number."""

    name = models.CharField(max_length=64, primary_key=True)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class StoredSetting(models.Model):
    """A runtime setting that differs from its default."""

    name = models.CharField(max_length=128, primary_key=True)  # "category.key"
    value = models.JSONField()
    secret = SealedTextField(blank=True, default="")  # the value of a secret setting; `value` is its mask then
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class IdempotencyRecord(models.Model):
    """The answer to a create call that carried an `Idempotency-Key`; kept 24 h."""

    id = models.BigAutoField(primary_key=True)
    principal = models.CharField(max_length=128)
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["principal", "route", "key"], name="one_answer_per_idempotency_key")
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"


class Canary(models.Model):
    """A sealed known value: a wrong master key is noticed at start, not when the first secret is needed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return "canary"


class Condition(models.Model):
    """Something that is wrong with the platform itself, told once when it begins and once when it ends."""

    name = models.CharField(max_length=96, primary_key=True)  # e.g. "overdue:endpoints", "blind"
    title = models.CharField(max_length=100, blank=True)
    message = models.TextField()
    level = models.CharField(max_length=16, default="critical")
    since = models.DateTimeField(default=timezone.now)
    #: Null while it lasts.
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class OutsideHeartbeat(models.Model):
    """How the pings to a service outside go, which tells people when they stay out. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    tried_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)  # the last one that was accepted
    failing_since = models.DateTimeField(null=True)
    #: Why none is sent, or why the last one was not accepted.
    reason = models.CharField(max_length=500, blank=True)
    is_held = models.BooleanField(default=False)  # by ourselves: something here does not work

    def __str__(self) -> str:
        return self.reason or "well"
