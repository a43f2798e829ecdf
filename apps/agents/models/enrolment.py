"""Enrolment: the tokens that let a host ask, and what hosts asked."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.agents.models.hosts import AgentCertificate, HostAgent
from apps.agents.querysets import EnrolmentRequestQuerySet, EnrolmentTokenQuerySet
from apps.agents.states import Enrolment
from apps.core.ids import new_id


class EnrolmentToken(models.Model):
    """Lets hosts ask to be enrolled. Only its hash is kept; bound to an agent, it enrols that one alone."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=16)  # its first characters, to tell tokens apart
    expires_at = models.DateTimeField()
    max_uses = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    pre_approved = models.BooleanField(default=False)
    tags = models.JSONField(default=list)
    agent = models.ForeignKey(HostAgent, on_delete=models.CASCADE, null=True, related_name="enrolment_tokens")
    created_by = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    objects: ClassVar = EnrolmentTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["-created_at", "-id"], name="enrolmenttoken_newest")]  # the list's order

    def __str__(self) -> str:
        return self.name


class EnrolmentRequest(models.Model):
    """A host's wish to be let in, with the key it proved to hold. Nothing else exists of the host before approval."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    status = models.CharField(max_length=8, choices=Enrolment.choices, default=Enrolment.PENDING)
    agent = models.ForeignKey(HostAgent, on_delete=models.CASCADE, null=True, related_name="enrolments")
    token = models.ForeignKey(EnrolmentToken, on_delete=models.SET_NULL, null=True, related_name="requests")
    token_name = models.CharField(max_length=100, blank=True)
    tags = models.JSONField(default=list)  # of the token, for the server that approval makes
    name = models.CharField(max_length=200)
    hostname = models.CharField(max_length=253)
    architecture = models.CharField(max_length=32, blank=True)
    os = models.CharField(max_length=200, blank=True)
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=64)
    address = models.CharField(max_length=45, blank=True)
    poll_token_hash = models.CharField(max_length=64, unique=True)
    certificate = models.ForeignKey(AgentCertificate, on_delete=models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=200, blank=True)

    objects: ClassVar = EnrolmentRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-id"]
        verbose_name = "waiting host"
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], name="one_waiting_request_per_key", condition=Q(status="pending")
            )
        ]
        indexes = [
            models.Index(fields=["status", "-requested_at", "-id"], name="enrolmentrequest_waiting"),
            models.Index(fields=["token", "fingerprint"], name="enrolmentrequest_again"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:16]})"
