"""Terminal sessions. Their recordings lie in the file store."""

from django.db import models

from apps.core.ids import new_id
from apps.fleet.models.servers import Server
from apps.fleet.models.ssh import SshConnection
from apps.fleet.querysets import TerminalSessionQuerySet
from apps.fleet.states import TerminalStatus


class TerminalSession(models.Model):
    """One shell that somebody had open. While it lives its process renews the lease; one that ran out means `lost`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    server = models.ForeignKey(Server, on_delete=models.SET_NULL, null=True, related_name="terminals")
    ssh_connection = models.ForeignKey(SshConnection, on_delete=models.SET_NULL, null=True, related_name="terminals")
    target = models.CharField(max_length=255)  # as it was called then
    executor = models.CharField(max_length=8)
    user_id = models.UUIDField(null=True)
    user = models.CharField(max_length=150)
    address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=12, choices=TerminalStatus.choices, default=TerminalStatus.OPEN)
    reason = models.TextField(blank=True)  # why it ended, in a sentence
    exit_code = models.IntegerField(null=True)
    signal = models.CharField(max_length=16, blank=True)
    cols = models.PositiveSmallIntegerField(default=80)  # at the beginning, as the recording's head says
    rows = models.PositiveSmallIntegerField(default=24)
    has_input = models.BooleanField(default=False)  # whether what was typed is recorded too
    input_bytes = models.BigIntegerField(default=0)
    output_bytes = models.BigIntegerField(default=0)
    recording_bytes = models.BigIntegerField(default=0)  # as it is stored
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    end_asked_at = models.DateTimeField(null=True)
    end_asked_by = models.CharField(max_length=150, blank=True)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects = TerminalSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        verbose_name = "terminal session"
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="terminal_newest"),  # the list's order
            models.Index(fields=["user_id", "-started_at", "-id"], name="terminal_own"),  # the same of one person
            models.Index(fields=["status", "lease_until"], name="terminal_lease"),  # the sweep, and who has some open
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.target}"

    @property
    def file_name(self) -> str:
        """Return the name of the recording in the file store."""
        return f"terminals/{self.pk}.cast.gz"
