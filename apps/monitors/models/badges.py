"""Badges: small public pictures of how something stands, at addresses nobody can guess."""

from typing import Any, ClassVar

from django.db import models

from apps.core.fields import SealedTextField
from apps.core.models import EditableModel
from apps.monitors.querysets.ping_keys import UnboundQuerySet


class Badge(EditableModel):
    """What one address shows of an endpoint, a heartbeat or everything with a tag. Removing it revokes the address."""

    ENDPOINT, HEARTBEAT, TAG = "endpoint", "heartbeat", "tag"
    STATUS, UPTIME, LAST_PING = "status", "uptime", "last_ping"

    kind = models.CharField(max_length=16)
    subject = models.CharField(max_length=128)  # the id, or the tag's name
    shows = models.CharField(max_length=16, default=STATUS)
    days = models.PositiveSmallIntegerField(default=30)  # of the uptime
    label = models.CharField(max_length=60, blank=True)  # nothing else on it names the thing
    digest = models.CharField(max_length=64, unique=True, editable=False)
    token = SealedTextField()

    objects: ClassVar[Any] = UnboundQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="badge_newest"),
            models.Index(fields=["kind", "subject"], name="badge_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.shows} of {self.kind} {self.subject}"

    def get_shows_words(self) -> str:
        """Return what it shows where it has no label."""
        return {self.UPTIME: f"uptime {self.days} d", self.LAST_PING: "last run"}.get(self.shows, "status")
