"""Commands that were run on machines, with what they wrote."""

from django.db import models

from apps.core.ids import new_id
from apps.fleet.models.servers import Server
from apps.fleet.models.ssh import SshConnection
from apps.fleet.querysets import CommandRunQuerySet
from apps.fleet.states import RunStatus


class CommandRun(models.Model):
    """One command on one machine. While it runs its process renews the lease; a lease that ran out means `lost`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    server = models.ForeignKey(Server, on_delete=models.SET_NULL, null=True, related_name="commands")
    ssh_connection = models.ForeignKey(SshConnection, on_delete=models.SET_NULL, null=True, related_name="commands")
    target = models.CharField(max_length=255)  # as it was called then
    executor = models.CharField(max_length=8)
    command = models.TextField()
    env_names = models.JSONField(default=list)  # the values are not kept
    has_stdin = models.BooleanField(default=False)
    sudo = models.BooleanField(default=False)
    timeout_s = models.FloatField()
    user_id = models.UUIDField(null=True)
    user = models.CharField(max_length=150)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.RUNNING)
    exit_code = models.IntegerField(null=True)
    signal = models.CharField(max_length=16, blank=True)
    error = models.TextField(blank=True)
    output = models.TextField(blank=True)
    output_bytes = models.BigIntegerField(default=0)  # of all output, kept or not
    is_binary = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects = CommandRunQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        verbose_name = "command"
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="commandrun_newest"),  # the list's order
            models.Index(fields=["status", "lease_until"], name="commandrun_lease"),  # the sweep for lost ones
        ]

    def __str__(self) -> str:
        return f"{self.command[:60]} on {self.target}"
