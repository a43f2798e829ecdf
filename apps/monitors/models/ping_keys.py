"""Ping keys: one credential for many jobs, which name themselves in the address."""

from typing import Any, ClassVar

from django.db import models

from apps.core.fields import SealedTextField
from apps.core.models import EditableModel
from apps.monitors.querysets.ping_keys import UnboundQuerySet


class PingKey(EditableModel):
    """Opens `/ping/k/<key>/<slug>` for the heartbeats that belong to it, and may add some by their first ping.

    The key is found by its digest and kept sealed beside it, because people must read it to set up the next job.
    """

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    key = SealedTextField()
    enabled = models.BooleanField(default=True)
    create_limit = models.PositiveIntegerField(default=100)  # heartbeats that may belong to it; 0: none are added
    # What a heartbeat gets that is added by its first ping.
    interval_seconds = models.PositiveIntegerField(null=True, blank=True)
    cron = models.CharField(max_length=128, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    grace_seconds = models.PositiveIntegerField(null=True, blank=True)
    tags = models.JSONField(default=list, blank=True)

    objects: ClassVar[Any] = UnboundQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
