"""Tables of silences, of why people were not told, and of what flaps."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.models.alerts import Alert
from apps.alerts.querysets import SilenceQuerySet
from apps.core.models import EditableModel


class Silence(EditableModel):
    """Alerts that match are kept and shown, and nothing is sent until it ends.

    All filters must match; within one, any of its words. No filter at all means every alert. It always has an end; one
    that is cancelled keeps its row.
    """

    sources = models.JSONField(default=list)  # endpoint, heartbeat, certificate, server
    entities = models.JSONField(default=list)  # ids, names with * and ?, or "kind:id"
    levels = models.JSONField(default=list)
    tags = models.JSONField(default=list)
    reason = models.CharField(max_length=500, blank=True)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    created_by = models.CharField(max_length=255, blank=True)
    cancelled_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=255, blank=True)
    began_at = models.DateTimeField(null=True)  # when the open alerts were held against it
    ended_at = models.DateTimeField(null=True)  # when its end, by time or by hand, was followed up

    objects = SilenceQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["ends_at"], condition=Q(ended_at__isnull=True), name="silence_running")]

    def __str__(self) -> str:
        return self.reason or f"Silence of {self.about}"

    @property
    def about(self) -> str:
        """Return what it silences, in words."""
        parts = [
            *([f"{', '.join(self.levels)} alerts"] if self.levels else []),
            *([f"about {', '.join(f'{one}s' for one in self.sources)}"] if self.sources else []),
            *([f"of {', '.join(self.entities)}"] if self.entities else []),
            *([f"tagged {', '.join(self.tags)}"] if self.tags else []),
        ]
        return " ".join(parts) if parts else "every alert"

    @property
    def is_for_all(self) -> bool:
        """Return whether no filter narrows it."""
        return not (self.sources or self.entities or self.levels or self.tags)

    @property
    def state(self) -> str:
        """Return "cancelled", "ended", "scheduled" or "active", as of now."""
        now = timezone.now()
        if self.cancelled_at is not None:
            return "cancelled"
        if self.ends_at <= now:
            return "ended"
        return "scheduled" if self.starts_at > now else "active"

    @property
    def is_active(self) -> bool:
        """Return whether it silences now."""
        return self.state == "active"


class Decision(models.Model):
    """Why people were, or were not, told of an alert at a moment. Machine-written, kept as long as the alert."""

    class Outcome(models.TextChoices):
        """What was decided."""

        TOLD = "told", "Told"
        HELD = "held", "Held back for now"
        SUPPRESSED = "suppressed", "Not told"

    id = models.BigAutoField(primary_key=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="decisions")
    at = models.DateTimeField(default=timezone.now)
    about = models.CharField(max_length=16)  # opening, escalation, end
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    by = models.CharField(max_length=16)  # a value of Alert.Mute; "" where nothing stood against it
    reason = models.CharField(max_length=500)
    facts = models.JSONField(default=dict)  # ids and names: silence, window, parent

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["alert", "id"], name="decision_alert")]

    def __str__(self) -> str:
        return f"{self.about} {self.outcome}: {self.reason}"


class Flap(models.Model):
    """Something changes so often that each change is no longer told. One runs per (source, kind, subject)."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32)
    kind = models.CharField(max_length=128)
    subject_id = models.CharField(max_length=64)
    began_at = models.DateTimeField(default=timezone.now)
    flips = models.PositiveIntegerField(default=0)
    last_flip_at = models.DateTimeField()
    alert_id = models.UUIDField()  # the alert whose opening began it
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "kind", "subject_id"], condition=Q(ended_at__isnull=True), name="one_flap_per_subject"
            )
        ]
        indexes = [
            models.Index(fields=["last_flip_at"], condition=Q(ended_at__isnull=True), name="flap_running"),
            models.Index(fields=["began_at"], name="flap_age"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.kind} {self.subject_id}: {self.flips} flips"
