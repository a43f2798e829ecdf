"""The ledger of deliveries: written in the transaction of the routing, sent afterwards."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id


class Delivery(models.Model):
    """One message to one destination.

    `id` follows the order of routing; messages of one `lane` (destination and subject) leave in that order, each after
    the former has arrived or was given up. `next_attempt_at` is null once nothing more will be tried, which makes the
    open ones a small index. What is `held` is told in a summary, the delivery that `bundle` names. A running attempt is
    a lease, not a state: a killed worker leaves nothing to repair.
    """

    class Kind(models.TextChoices):
        """What kind of destination."""

        CHANNEL = "channel", "Channel"
        WEBHOOK = "webhook", "Webhook"
        MAIL = "mail", "Mail"

    class State(models.TextChoices):
        """How far it has come."""

        PENDING = "pending", "Pending"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"
        SUPPRESSED = "suppressed", "Suppressed"
        BUNDLED = "bundled", "Told in a summary"

    class Wait(models.TextChoices):
        """What a held message waits for."""

        QUIET = "quiet", "the end of quiet hours"
        DIGEST = "digest", "the next digest"
        LIMIT = "limit", "room under the channel's limit"

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    destination_id = models.UUIDField()
    lane = models.CharField(max_length=32)
    message_id = models.CharField(max_length=64)  # repeats on every repeat; receivers deduplicate by it
    event_name = models.CharField(max_length=64)
    event_seq = models.BigIntegerField(null=True)
    event_at = models.DateTimeField()
    subject_kind = models.CharField(max_length=32, blank=True)
    subject_id = models.CharField(max_length=128, blank=True)
    subject_name = models.CharField(max_length=255, blank=True)
    thing = models.CharField(max_length=200, blank=True)  # what the alert is about; throttles count by it
    audience = models.JSONField(default=dict)
    payload = models.JSONField(default=dict)
    rule_id = models.UUIDField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    reason = models.CharField(max_length=300, blank=True)
    held = models.BooleanField(default=False)  # waits to be told, with others, in a summary
    waits_for = models.CharField(max_length=8, choices=Wait.choices, blank=True)
    bundle = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="parts")
    in_place_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="stand_ins")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now)
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["lane", "id"], name="delivery_lane"),
            models.Index(fields=["destination_id", "-id"], name="delivery_of_destination"),
            models.Index(fields=["destination_id", "thing", "event_at"], name="delivery_throttle"),
            models.Index(fields=["created_at"], name="delivery_age"),
            models.Index(fields=["event_seq"], name="delivery_of_fact"),
            models.Index(fields=["next_attempt_at"], name="delivery_held", condition=Q(held=True)),
            models.Index(fields=["destination_id", "created_at"], name="delivery_of_destination_at"),
            models.Index(fields=["state", "-id"], name="delivery_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.event_name} to {self.kind} {self.destination_id}"

    @property
    def delivered_at(self) -> datetime | None:
        """Return when it arrived; None before."""
        return self.settled_at if self.state == self.State.DELIVERED else None

    @property
    def shown_state(self) -> str:
        """Return the state as people see it: "sending" while an attempt runs."""
        if self.state == self.State.PENDING and self.lease_until and self.lease_until > timezone.now():
            return "sending"
        return self.state


class Attempt(models.Model):
    """One try: what was sent (credentials masked) and what the other side said."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField(default=timezone.now)
    status_code = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    request = models.JSONField(default=dict)
    response = models.TextField(blank=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["at"], name="attempt_age")]

    def __str__(self) -> str:
        return f"{self.status_code or self.error}"
