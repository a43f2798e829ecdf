"""Tables of the thresholds, and of what is breached right now."""

from django.db import models
from django.db.models import Q

from apps.alerts.models.alerts import Alert
from apps.alerts.querysets import ThresholdQuerySet
from apps.core.models import EditableModel
from apps.fleet.models import Server


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
