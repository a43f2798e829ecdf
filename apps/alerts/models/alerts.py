"""Table of the alerts."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.querysets import AlertQuerySet
from apps.alerts.states import ACTIVE, RESOLVED
from apps.core.models import EditableModel


class Alert(EditableModel):
    """Something is wrong with one thing. One is open per (source, kind, subject);
    what was seen is frozen in `evidence`.
    """

    class Level(models.TextChoices):
        """How bad it is."""

        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"

    class Status(models.TextChoices):
        """Where it stands."""

        ACTIVE = "active", "Active"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"

    class Mute(models.TextChoices):
        """Why nothing is told of it now."""

        SILENCE = "silence", "Silenced"
        MAINTENANCE = "maintenance", "Under maintenance"
        DEPENDENCY = "dependency", "Follows from something else"
        WAITING = "waiting", "Waiting whether its parent is down too"
        FLAPPING = "flapping", "Flapping"

    source = models.CharField(max_length=32)  # endpoint, heartbeat, certificate, server
    kind = models.CharField(max_length=128)  # availability, run, certificate, cpu, disk:/var ...
    subject_kind = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    subject_name = models.CharField(max_length=255)
    server_id = models.UUIDField(null=True)  # by value: the alert outlives its server
    level = models.CharField(max_length=16, choices=Level.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=ACTIVE)
    is_silenced = models.BooleanField(default=False)
    message = models.TextField()
    value = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    evidence = models.JSONField(default=dict)
    tags = models.JSONField(default=list)
    opened_at = models.DateTimeField(default=timezone.now)
    escalated_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=255, blank=True)
    acknowledged_until = models.DateTimeField(null=True)  # null: until it is resolved
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=255, blank=True)
    note = models.TextField(blank=True)
    count = models.PositiveIntegerField(default=1)  # how often it was seen while it was open
    last_seen_at = models.DateTimeField(default=timezone.now)
    #: People were told that it opened. Of what nobody was told, no end is told either.
    is_told = models.BooleanField(default=True)
    told_at = models.DateTimeField(null=True)
    owes_escalation = models.BooleanField(default=False)  # it got worse while nothing was told
    muted_by = models.CharField(max_length=16, choices=Mute.choices, blank=True)  # "": nothing keeps it from people
    muted_reason = models.CharField(max_length=300, blank=True)
    #: What mutes it, by value: the silence, the maintenance window, the parent that is down.
    cause_kind = models.CharField(max_length=32, blank=True)
    cause_id = models.CharField(max_length=64, blank=True)
    cause_name = models.CharField(max_length=255, blank=True)
    review_at = models.DateTimeField(null=True)  # when the sweep asks again whether people are told

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]  # the key is time-sorted
        constraints = [
            models.UniqueConstraint(
                fields=["source", "kind", "subject_id"],
                condition=~Q(status=RESOLVED),
                name="one_open_alert_per_subject",
            )
        ]
        indexes = [
            models.Index(fields=["-id"], condition=~Q(status=RESOLVED), name="alert_open"),
            models.Index(fields=["status", "-id"], name="alert_status"),
            models.Index(fields=["server_id", "-id"], name="alert_server"),
            models.Index(fields=["subject_kind", "subject_id", "-id"], name="alert_subject"),
            models.Index(fields=["opened_at"], name="alert_opened_at"),
            models.Index(fields=["review_at"], condition=Q(review_at__isnull=False), name="alert_review"),
            models.Index(fields=["cause_kind", "cause_id"], condition=~Q(cause_id=""), name="alert_cause"),
            models.Index(
                fields=["acknowledged_until"],
                condition=Q(status="acknowledged", acknowledged_until__isnull=False),
                name="alert_acknowledged_until",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject_name}: {self.message}"

    @property
    def type(self) -> str:
        """Return the kind without its instance: "disk" of "disk:/var"."""
        return self.kind.partition(":")[0]

    @property
    def is_muted(self) -> bool:
        """Return whether nothing is told of it now; ask again at the moment of sending."""
        return bool(self.muted_by)

    @property
    def is_open(self) -> bool:
        """Return whether it is not resolved."""
        return self.status != RESOLVED
