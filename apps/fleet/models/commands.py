"""Commands that were run on machines, with what they wrote; those on many machines; and how much may change at once."""

from django.db import models

from apps.core.fields import SealedTextField
from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.fleet.models.servers import Server
from apps.fleet.models.ssh import SshConnection
from apps.fleet.querysets import ChangeLimitQuerySet, CommandBatchQuerySet, CommandRunQuerySet
from apps.fleet.states import BatchStatus, RunStatus


class CommandBatch(models.Model):
    """One command on many machines. Whoever holds its lease starts the next of its runs; anybody may go on with it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    command = models.TextField()
    env_names = models.JSONField(default=list)
    env_secrets = models.JSONField(default=dict)  # variable -> id of a secret
    has_stdin = models.BooleanField(default=False)
    # Variables and input, as long as machines may still need them: JSON.
    inputs = SealedTextField(null=True)
    sudo = models.BooleanField(default=False)
    timeout_s = models.FloatField()
    asked = models.CharField(max_length=255)  # which machines, in words
    hosts = models.PositiveIntegerField()
    parallel = models.PositiveIntegerField()
    canary = models.PositiveIntegerField(default=0)  # machines that go first; 0: none
    stop_after = models.PositiveIntegerField(default=0)  # failures; 0: never
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)  # cancelled ones too
    status = models.CharField(max_length=10, choices=BatchStatus.choices, default=BatchStatus.RUNNING)
    stop_reason = models.CharField(max_length=500, blank=True)
    waits_for = models.CharField(max_length=500, blank=True)
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="retries")
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    user_id = models.UUIDField(null=True)
    user = models.CharField(max_length=150)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects = CommandBatchQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        verbose_name = "command on many"
        verbose_name_plural = "commands on many"
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="commandbatch_newest"),  # the list's order
            models.Index(fields=["status", "started_at"], name="commandbatch_open"),  # the sweep
        ]

    def __str__(self) -> str:
        return f"{self.command[:60]} on {self.hosts} server{'' if self.hosts == 1 else 's'}"


class CommandRun(models.Model):
    """One command on one machine. While it runs its process renews the lease; a lease that ran out means `lost`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    batch = models.ForeignKey(CommandBatch, on_delete=models.CASCADE, null=True, related_name="runs")
    position = models.PositiveIntegerField(default=0)  # in the batch
    is_canary = models.BooleanField(default=False)
    server = models.ForeignKey(Server, on_delete=models.SET_NULL, null=True, related_name="commands")
    ssh_connection = models.ForeignKey(SshConnection, on_delete=models.SET_NULL, null=True, related_name="commands")
    target = models.CharField(max_length=255)  # as it was called then
    executor = models.CharField(max_length=8)
    command = models.TextField()
    env_names = models.JSONField(default=list)  # the values are not kept
    env_secrets = models.JSONField(default=dict)  # variable -> id of a secret
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
    file_bytes = models.BigIntegerField(default=0)  # of it in the file store; 0: there is no file
    output_note = models.CharField(max_length=300, blank=True)  # why the rest was not kept
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
            models.Index(fields=["batch", "position"], name="commandrun_batch"),  # a batch's table
        ]
        constraints = [
            # A server has one turn in a batch.
            models.UniqueConstraint(fields=["batch", "server"], name="commandrun_one_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.command[:60]} on {self.target}"


class ChangeLimit(EditableModel):
    """How many servers of a tag may be under change at the same time. Every command draws from it."""

    tag = models.CharField(max_length=64, blank=True, unique=True)  # "": all servers
    hosts_most = models.PositiveIntegerField(null=True, blank=True)
    percent_most = models.PositiveSmallIntegerField(null=True, blank=True)
    enabled = models.BooleanField(default=True)

    objects = ChangeLimitQuerySet.as_manager()

    class Meta:
        ordering = ["tag", "id"]

    def __str__(self) -> str:
        return f"servers tagged {self.tag}" if self.tag else "all servers"


class ChangeSlot(models.Model):
    """A server under change and who changes it. It goes with what holds it; at the latest, its time runs out."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="change_slots")
    holder_kind = models.CharField(max_length=16)
    holder_id = models.UUIDField()
    holder_name = models.CharField(max_length=255)
    taken_at = models.DateTimeField()
    until = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["holder_kind", "holder_id", "server"], name="changeslot_one"),
        ]

    def __str__(self) -> str:
        return f"{self.server_id} by {self.holder_name}"
