"""Tables: alerts, thresholds, and what is breached right now."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.querysets import AlertQuerySet, ThresholdQuerySet
from apps.alerts.states import ACTIVE, RESOLVED
from apps.core.models import EditableModel
from apps.fleet.models import Server


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
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=255, blank=True)
    note = models.TextField(blank=True)

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
        ]

    def __str__(self) -> str:
        return f"{self.subject_name}: {self.message}"

    @property
    def type(self) -> str:
        """Return the kind without its instance: "disk" of "disk:/var"."""
        return self.kind.partition(":")[0]

    @property
    def is_open(self) -> bool:
        """Return whether it is not resolved."""
        return self.status != RESOLVED


class Threshold(EditableModel):
    """A limit on a metric of one server or, with no server, of all.

    A server's own replaces the global of its metric and level.
    """

    class Metric(models.TextChoices):
        """What is measured; percent but for load_per_core and temperature (°C)."""

        CPU = "cpu", "CPU"
        MEMORY = "memory", "Memory"
        SWAP = "swap", "Swap"
        DISK = "disk", "Disk, each mount"
        INODES = "inodes", "Inodes, each mount"
        LOAD_PER_CORE = "load_per_core", "Load per core"
        TEMPERATURE = "temperature", "Temperature"

    class Comparison(models.TextChoices):
        """How a value is compared with the limit."""

        GT = "gt", "above"
        GTE = "gte", "at or above"
        LT = "lt", "below"
        LTE = "lte", "at or below"

    server = models.ForeignKey(Server, null=True, blank=True, on_delete=models.CASCADE, related_name="thresholds")
    metric = models.CharField(max_length=32, choices=Metric.choices)
    comparison = models.CharField(max_length=3, choices=Comparison.choices, default=Comparison.GTE)
    value = models.FloatField()
    level = models.CharField(max_length=16, choices=Alert.Level.choices, default=Alert.Level.WARNING)
    for_s = models.PositiveIntegerField(default=0)  # breached this long before an alert opens
    clear_value = models.FloatField(null=True, blank=True)  # null: 5 % of the limit on the good side
    enabled = models.BooleanField(default=True)

    objects = ThresholdQuerySet.as_manager()

    class Meta:
        ordering = ["metric", "level", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "metric", "level"],
                condition=Q(server__isnull=False),
                name="one_threshold_per_server_metric_level",
            ),
            models.UniqueConstraint(
                fields=["metric", "level"],
                condition=Q(server__isnull=True),
                name="one_global_threshold_per_metric_level",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_metric_display()} {self.get_comparison_display()} {self.value:g}"


class Breach(models.Model):
    """A threshold's level is breached on one instance of a server now. Machine-written; the row goes when it clears.

    `is_told`: it has lasted long enough and an alert was opened for it; an alert resolved by hand stays resolved until
    the breach has cleared once.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="+")
    instance = models.CharField(max_length=128)  # "cpu", "disk:/var"
    level = models.CharField(max_length=16)
    since = models.DateTimeField()
    is_told = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "instance", "level"], name="one_breach_per_level")]

    def __str__(self) -> str:
        return f"{self.instance} {self.level}"
