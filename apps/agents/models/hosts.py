"""Host agents, how they stand, their certificates, and the authority that signs these."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.agents.querysets import HostAgentQuerySet
from apps.agents.states import Registration
from apps.core.fields import SealedTextField
from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.fleet.models import Server


class HostAgent(EditableModel):
    """The agent program of one server. The server's slug is its id in the API, the server's name its name.

    A worker is the same row: the last columns are what it offers to LLM agents.
    """

    kind = "host"

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="host_agents")
    made_server = models.BooleanField(default=False, editable=False)  # the server came with it
    registration = models.CharField(max_length=8, choices=Registration.choices, default=Registration.PENDING)
    is_preapproved = models.BooleanField(default=False, editable=False)  # approved before its host asked
    hostname = models.CharField(max_length=253, blank=True)
    architecture = models.CharField(max_length=32, blank=True)
    os = models.CharField(max_length=200, blank=True)
    version = models.CharField(max_length=32, blank=True)
    public_key = models.TextField(blank=True)  # PEM, SubjectPublicKeyInfo
    fingerprint = models.CharField(max_length=64, blank=True)  # SHA-256 of the key's DER, hex
    address = models.CharField(max_length=45, blank=True)  # where it asked from
    registered_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=255, blank=True)
    deleted_at = models.DateTimeField(null=True)

    max_agents = models.PositiveIntegerField(default=5)
    cpu_cores = models.PositiveIntegerField(null=True)
    memory_total_mb = models.PositiveIntegerField(null=True)
    os_info = models.CharField(max_length=200, blank=True)
    ip_address = models.CharField(max_length=45, blank=True)
    group = models.CharField(max_length=100, blank=True)

    objects: ClassVar = HostAgentQuerySet.as_manager()

    class Meta:
        ordering = ["server__name", "server__id"]
        verbose_name = "host agent"
        constraints = [
            models.UniqueConstraint(
                fields=["server"], name="one_host_agent_per_server", condition=Q(deleted_at__isnull=True)
            ),
            models.UniqueConstraint(
                fields=["fingerprint"],
                name="one_host_agent_per_key",
                condition=Q(deleted_at__isnull=True) & ~Q(fingerprint=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """Return what people call it: its server's name."""
        return self.server.name

    @property
    def slug(self) -> str:
        """Return its id in the API: its server's slug."""
        return self.server.slug

    @property
    def is_approved(self) -> bool:
        """Return whether it is trusted now."""
        return self.registration == Registration.APPROVED and self.deleted_at is None


class HostAgentState(models.Model):
    """What the connection writes: is it there, since when, and which process holds it."""

    agent = models.OneToOneField(HostAgent, on_delete=models.CASCADE, primary_key=True, related_name="state")
    is_online = models.BooleanField(default=False)
    connected_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    offline_since = models.DateTimeField(null=True)
    connection_owner = models.CharField(max_length=80, blank=True)  # the process, as in leases; "" for none
    connection_token = models.CharField(max_length=64, blank=True)  # names the connection itself
    cpu_percent = models.FloatField(null=True)
    memory_percent = models.FloatField(null=True)
    disk_percent = models.FloatField(null=True)

    class Meta:
        indexes = [models.Index(fields=["is_online", "last_seen_at"], name="hostagentstate_silent")]  # offline sweep

    def __str__(self) -> str:
        return f"{self.agent_id}: {'online' if self.is_online else 'offline'}"


class AgentCertificate(models.Model):
    """A certificate that was signed for an agent's key. A revoked one is on the deny list for good."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(HostAgent, on_delete=models.CASCADE, related_name="certificates")
    serial = models.CharField(max_length=40, unique=True)  # hex
    fingerprint = models.CharField(max_length=64)  # of the key it is for
    pem = models.TextField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-not_after"]
        indexes = [
            models.Index(fields=["agent", "-not_after"], name="agentcertificate_newest"),
            models.Index(fields=["not_after"], name="agentcertificate_ended"),  # pruning
        ]

    def __str__(self) -> str:
        return self.serial


class CertificateAuthority(models.Model):
    """What signs agents' certificates. One row, made on first need; its key never leaves the vault key's seal."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=32, unique=True)
    key = SealedTextField()  # PEM, PKCS 8
    certificate = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "certificate authorities"

    def __str__(self) -> str:
        return self.name
