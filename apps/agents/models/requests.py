"""What processes ask of an agent through the one process that holds its connection, and what comes back."""

from django.db import models
from django.utils import timezone

from apps.agents.models.hosts import HostAgent
from apps.agents.states import RequestState
from apps.core.fields import SealedTextField
from apps.core.ids import new_id


class AgentRequest(models.Model):
    """One thing asked of an agent. `lease_until` is renewed by who waits for it; the connection's owner sends it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(HostAgent, on_delete=models.CASCADE, related_name="requests")
    kind = models.CharField(max_length=16)  # command, stdin, resize, cancel, signal, interval …
    run_id = models.UUIDField(null=True)  # the command or session that it is about
    body = SealedTextField(blank=True, default="")  # JSON; may hold values of the vault
    state = models.CharField(max_length=8, choices=RequestState.choices, default=RequestState.WAITING)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    connection_token = models.CharField(max_length=64, blank=True)  # the connection it was sent over
    credit = models.BigIntegerField(default=0)  # bytes of output that were taken
    cancel_asked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)  # not sent any more after this
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["agent", "state", "id"], name="agentrequest_next"),  # what the connection sends
            models.Index(fields=["state", "lease_until"], name="agentrequest_lease"),  # the sweep for lost ones
            models.Index(fields=["created_at"], name="agentrequest_age"),  # pruning
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class AgentOutput(models.Model):
    """A piece of what a request's command wrote; gone once the waiting process took it."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(AgentRequest, on_delete=models.CASCADE, related_name="output")
    seq = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "seq"], name="one_agent_output_per_seq")]

    def __str__(self) -> str:
        return f"{self.request_id}#{self.seq}"
