"""Rules: which facts go to which channels, and what is repeated when nobody reacts."""

from django.db import models
from django.utils import timezone

from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.notifications.models.destinations import Channel


class Rule(EditableModel):
    """Facts that match go to the channels. An empty filter lets everything through.

    Rules are asked by `order`, then by name; behind one that matches and says `stop` no other is asked.
    """

    name = models.CharField(max_length=100)
    order = models.PositiveIntegerField(default=100)
    stop = models.BooleanField(default=False)
    events = models.JSONField(default=list)
    levels = models.JSONField(default=list)
    sources = models.JSONField(default=list)
    tags = models.JSONField(default=list)
    subjects = models.JSONField(default=list)  # patterns such as "web-*", of the name, the id or "kind:id"
    servers = models.JSONField(default=list)  # ids
    hours = models.JSONField(null=True, blank=True)  # the rule counts in these alone; see quiet.py
    channels = models.ManyToManyField(Channel, related_name="rules", blank=True)
    inbox = models.BooleanField(default=True)  # also tell people in their inbox
    enabled = models.BooleanField(default=True)
    throttle_s = models.PositiveIntegerField(default=0)
    quiet_hours = models.JSONField(null=True, blank=True)
    escalate_after_s = models.PositiveIntegerField(null=True, blank=True)
    digest = models.JSONField(null=True, blank=True)
    title_template = models.TextField(blank=True)
    body_template = models.TextField(blank=True)
    template_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["order", "name", "id"]

    def __str__(self) -> str:
        return self.name


class Escalation(models.Model):
    """An alert that is told again at `due_at` unless somebody acknowledges it or it resolves before."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="escalations")
    subject_kind = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=128)
    event_seq = models.BigIntegerField()
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject_kind", "subject_id"], name="one_escalation_per_rule_and_alert"
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="escalation_due"),
            models.Index(fields=["subject_kind", "subject_id"], name="escalation_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_kind}:{self.subject_id} at {self.due_at}"


class RoutesVersion(models.Model):
    """One row; its token changes with every change of channels, rules and webhooks, so that routers read them again."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField(default=new_id)

    def __str__(self) -> str:
        return str(self.token)
