"""Tables: who is told next when nobody reacts, how far an alert has come, and when it is told of again."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.models.alerts import Alert
from apps.core.models import EditableModel


class EscalationPolicy(EditableModel):
    """What happens while nobody acknowledges an alert. An empty filter takes every alert; the first that fits, by
    `position`, is the one that counts.

    `steps` is a list of {after_s, channels, inbox, repeat_s}, `after_s` counted from the opening and rising.
    """

    name = models.CharField(max_length=100)
    position = models.PositiveIntegerField(default=100)
    sources = models.JSONField(default=list)
    levels = models.JSONField(default=list)
    tags = models.JSONField(default=list)  # an alert with one of them fits
    steps = models.JSONField(default=list)
    remind_every_s = models.PositiveIntegerField(null=True, blank=True)  # null: as the setting says; 0: never
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["position", "name", "id"]
        verbose_name = "escalation policy"
        verbose_name_plural = "escalation policies"
        indexes = [models.Index(fields=["position", "name", "id"], name="escalation_order")]

    def __str__(self) -> str:
        return self.name

    def takes(self, alert: Alert) -> bool:
        """Return whether an alert fits the filters."""
        return (
            (not self.sources or alert.source in self.sources)
            and (not self.levels or alert.level in self.levels)
            and (not self.tags or bool(set(self.tags) & set(alert.tags)))
        )


class EscalationStep(models.Model):
    """One step of an alert's ladder: the one that waits, or what became of an earlier one.

    `base_at` is when its wait began: the start of the ladder or, for a repetition, when the step was told last.
    `due_at` is null once it is settled, which keeps the index of the due ones small.
    """

    class State(models.TextChoices):
        """How far it has come."""

        WAITING = "waiting", "Waiting"
        TOLD = "told", "Told"
        SUPPRESSED = "suppressed", "Suppressed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.BigAutoField(primary_key=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="ladder")
    policy = models.ForeignKey(EscalationPolicy, null=True, on_delete=models.SET_NULL, related_name="+")
    policy_name = models.CharField(max_length=100)
    round = models.PositiveIntegerField(default=1)  # a ladder that starts anew counts one up
    number = models.PositiveSmallIntegerField()
    repetition = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    base_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=300, blank=True)
    told = models.JSONField(default=list)  # [{channel_id, name, delivery_id or null, reason}]
    inbox_count = models.PositiveIntegerField(default=0)
    settled_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["alert"], condition=Q(state="waiting"), name="one_waiting_step_per_alert")
        ]
        indexes = [
            models.Index(fields=["due_at"], name="escalation_step_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["alert", "id"], name="escalation_step_alert"),
            models.Index(fields=["settled_at"], name="escalation_step_age", condition=Q(settled_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.policy_name} {self.number}: {self.state}"


class Reminder(models.Model):
    """When an open alert that nobody acknowledged is told of again; `due_at` is null while it rests.

    `base_at` begins the grid of intervals, so that an outage of ours neither shifts it nor makes up for lost ones.
    """

    alert = models.OneToOneField(Alert, on_delete=models.CASCADE, primary_key=True, related_name="reminder")
    every_s = models.PositiveIntegerField()  # 0: once, because an acknowledgement has ended
    base_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(null=True)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)  # why the latest was not sent
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects: Any = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="reminder_due", condition=Q(due_at__isnull=False))]

    def __str__(self) -> str:
        return f"every {self.every_s} s, next {self.due_at}"
