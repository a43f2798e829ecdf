"""Tables of other systems whose alerts arrive here, and of what each of them last said of each thing."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.models.alerts import Alert
from apps.core.models import EditableModel
from apps.monitors.querysets.ping_keys import UnboundQuerySet


class AlertSource(EditableModel):
    """Another system that posts its alerts to `/alerts/in/<token>`. The token is known by its digest alone."""

    class Kind(models.TextChoices):
        """Which shape it posts."""

        ALERTMANAGER = "alertmanager", "Prometheus Alertmanager"
        GRAFANA = "grafana", "Grafana"
        UPTIME_KUMA = "uptime_kuma", "Uptime Kuma"
        HEALTHCHECKS = "healthchecks", "Healthchecks"
        GENERIC = "generic", "Anything that posts JSON"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    token_hint = models.CharField(max_length=8, editable=False)  # its last characters, so that people know it again
    enabled = models.BooleanField(default=True)
    default_level = models.CharField(max_length=16, choices=Alert.Level.choices)
    tags = models.JSONField(default=list)  # every alert of it gets them
    tag_labels = models.JSONField(default=list)  # labels that become tags: "team" -> "team:blue"
    mapping = models.JSONField(default=dict)  # of the generic kind: field -> JSON path
    resolve_after_s = models.PositiveIntegerField(null=True, blank=True)  # without news; null: the sender says when

    objects: ClassVar[Any] = UnboundQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "alert source"

    def __str__(self) -> str:
        return self.name


class AlertSourceState(models.Model):
    """What arrived from a source. Machine-written."""

    source = models.OneToOneField(AlertSource, on_delete=models.CASCADE, primary_key=True, related_name="state")
    posts = models.PositiveBigIntegerField(default=0)
    opened = models.PositiveBigIntegerField(default=0)
    resolved = models.PositiveBigIntegerField(default=0)
    last_received_at = models.DateTimeField(null=True)
    last_address = models.CharField(max_length=64, blank=True)
    last_outcome = models.JSONField(default=dict)  # the answer to the latest post that was read
    last_error = models.CharField(max_length=500, blank=True)  # of the latest post; "" where all of it was taken
    last_error_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.posts} posts, last {self.last_received_at}"


class ReceivedAlert(models.Model):
    """What a source said last of one of its things. Machine-written; it decides whether a post is news.

    `alert_id` is by value: the alert may be pruned, this row is what tells a repetition from a new outage.
    """

    class State(models.TextChoices):
        """Where the thing stands by its source."""

        NEW = "new", "Not yet taken"
        FIRING = "firing", "Firing"
        RESOLVED = "resolved", "Resolved"
        EXPIRED = "expired", "No news any more"

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(AlertSource, on_delete=models.CASCADE, related_name="received")
    subject_id = models.CharField(max_length=64, unique=True)  # digest of the source and its fingerprint
    name = models.CharField(max_length=255, blank=True)
    server_id = models.UUIDField(null=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.NEW)
    starts_at = models.DateTimeField(null=True)  # of this outage by the sender: with the fingerprint, its identity
    said_at = models.DateTimeField(null=True)  # when the sender said so, where it sends no start
    ends_at = models.DateTimeField(null=True)  # when it is over without further news, by the sender
    level = models.CharField(max_length=16, blank=True)
    digest = models.CharField(max_length=64, blank=True)  # of what was said, to tell a repetition from a change
    alert_id = models.UUIDField(null=True)
    last_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["source", "last_seen_at"], condition=Q(state="firing"), name="received_firing"),
            models.Index(fields=["ends_at"], condition=Q(state="firing", ends_at__isnull=False), name="received_ends"),
            models.Index(fields=["last_seen_at"], name="received_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
