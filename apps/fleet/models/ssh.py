"""SSH connections: how a machine is reached, and what is known of its host key."""

from django.db import models

from apps.core.models import EditableModel
from apps.fleet.querysets import SshConnectionQuerySet
from apps.fleet.states import HostKeyState, Verdict


class SshConnection(EditableModel):
    """A way into a machine. Its credentials are ids of secrets in the vault, never values."""

    class Auth(models.TextChoices):
        """How to sign in."""

        PASSWORD = "password", "Password"
        KEY = "key", "Private key"
        AGENT = "agent", "SSH agent of this platform"

    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True)
    hostname = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=22)
    username = models.CharField(max_length=64)
    auth_method = models.CharField(max_length=8, choices=Auth.choices, default=Auth.KEY)
    # Not foreign keys: the vault refuses to delete what its reference finders name.
    secret_id = models.UUIDField(null=True, blank=True, db_index=True)
    passphrase_secret_id = models.UUIDField(null=True, blank=True)
    sudo_secret_id = models.UUIDField(null=True, blank=True)
    jump_host = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="behind")
    connect_timeout_s = models.PositiveIntegerField(default=10)
    keepalive_s = models.PositiveIntegerField(default=30)

    objects = SshConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "SSH connection"

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Return user, host and port as people write them."""
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{self.username}@{host}" + ("" if self.port == 22 else f":{self.port}")


class SshConnectionState(models.Model):
    """What was seen of the other side: its pinned key, another one it offered since, the last test."""

    connection = models.OneToOneField(SshConnection, on_delete=models.CASCADE, primary_key=True, related_name="state")
    host_key = models.TextField(blank=True)  # "type base64"
    host_key_state = models.CharField(max_length=8, choices=HostKeyState.choices, default=HostKeyState.PENDING)
    pinned_at = models.DateTimeField(null=True)
    pinned_by = models.CharField(max_length=150, blank=True)
    offered_key = models.TextField(blank=True)  # refused; waits for a person
    offered_at = models.DateTimeField(null=True)
    last_tested_at = models.DateTimeField(null=True)
    last_result = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.UNTESTED)
    last_phase = models.CharField(max_length=20, blank=True)
    last_error = models.TextField(blank=True)
    latency_ms = models.FloatField(null=True)
    server_version = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.connection_id}: {self.host_key_state}"
