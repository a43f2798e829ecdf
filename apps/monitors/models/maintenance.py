"""Maintenance windows: times in which what is watched may fail without anybody being to blame."""

from typing import Any, ClassVar

from django.db import models
from django.utils.timezone import now

from apps.core.models import EditableModel
from apps.monitors.querysets.maintenance import MaintenanceQuerySet


def weekdays_default() -> list[int]:
    """Return no weekday."""
    return []


class MaintenanceWindow(EditableModel):
    """A time, once or again and again, in which failures of its targets count as maintenance.

    `once` lasts from `starts_at` to `ends_at`. `weekly` begins on each of `weekdays` (0 is Monday) at `start_time`,
    `cron` at each time of `cron`; both last `duration_s` on the wall clock of `timezone`, and only between `starts_at`
    and `ends_at` where these are given.
    """

    class Kind(models.TextChoices):
        """How often it comes."""

        ONCE = "once", "Once"
        WEEKLY = "weekly", "Weekly"
        CRON = "cron", "By cron"

    title = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.ONCE)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    weekdays = models.JSONField(default=weekdays_default, blank=True)
    start_time = models.TimeField(null=True, blank=True)
    duration_s = models.PositiveIntegerField(null=True, blank=True)
    cron = models.CharField(max_length=128, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    all_targets = models.BooleanField(default=False)
    tags = models.JSONField(default=list, blank=True)  # names: what carries one of them is a target
    targets = models.JSONField(default=list, blank=True)  # [[kind, id], ...]
    enabled = models.BooleanField(default=True)
    #: An occurrence that people ended early ended here; only the last one is kept.
    cut_at = models.DateTimeField(null=True, editable=False)
    #: What the sweep told last: the occurrence that runs, and when to look again (null: never more).
    running_since = models.DateTimeField(null=True, editable=False)
    running_until = models.DateTimeField(null=True, editable=False)
    next_change_at = models.DateTimeField(null=True, editable=False, default=now)
    fault = models.CharField(max_length=300, blank=True, editable=False)  # why its times can't be worked out

    objects: ClassVar[Any] = MaintenanceQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["next_change_at"], name="maintenance_due")]

    def __str__(self) -> str:
        return self.title
