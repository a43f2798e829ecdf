"""Servers: what people edit, what the machine says, and the newest snapshot, each in a table of its own."""

from django.db import models

from apps.core.models import EditableModel, Tag
from apps.fleet.querysets import ServerQuerySet
from apps.fleet.states import Health, Presence


class Server(EditableModel):
    """A machine. `slug` is what other parts of the API call `agent_id`; `num` keys the telemetry tables."""

    num = models.PositiveIntegerField(unique=True, editable=False)
    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=22)
    description = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="servers")
    is_local = models.BooleanField(default=False, editable=False)
    ssh_connection = models.ForeignKey(
        "fleet.SshConnection", on_delete=models.PROTECT, null=True, blank=True, related_name="servers"
    )

    objects = ServerQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["name", "id"], name="server_name")]  # the list's order

    def __str__(self) -> str:
        return self.name


class ServerState(models.Model):
    """What the machine wrote last: presence, health and the figures of lists and thresholds.

    Counters (bytes since boot) are kept so that the rates of a sender that gives none can be worked out.
    """

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="state")
    status = models.CharField(max_length=8, choices=Presence.choices, default=Presence.UNKNOWN)
    health_status = models.CharField(max_length=8, choices=Health.choices, default=Health.UNKNOWN)
    open_alerts = models.JSONField(default=dict)  # alert id -> level, as the facts about alerts said
    last_seen_at = models.DateTimeField(null=True)
    offline_since = models.DateTimeField(null=True)
    followed_until = models.BigIntegerField(default=0)  # epoch ms; until then whole snapshots are published live

    sample_at = models.BigIntegerField(null=True)  # epoch ms of the newest sample
    cpu = models.FloatField(null=True)
    memory = models.FloatField(null=True)
    swap = models.FloatField(null=True)
    disk = models.FloatField(null=True)
    inodes = models.FloatField(null=True)
    load1 = models.FloatField(null=True)
    load_per_core = models.FloatField(null=True)
    temperature = models.FloatField(null=True)
    rx_rate = models.FloatField(null=True)
    tx_rate = models.FloatField(null=True)
    mounts = models.TextField(default="[]")  # JSON, as in Sample
    rx_bytes = models.BigIntegerField(null=True)
    tx_bytes = models.BigIntegerField(null=True)
    read_bytes = models.BigIntegerField(null=True)
    write_bytes = models.BigIntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["status", "last_seen_at"], name="serverstate_silent")]  # the offline sweep

    def __str__(self) -> str:
        return f"{self.server_id}: {self.status}"


class LatestSnapshot(models.Model):
    """The newest whole snapshot, compressed JSON. One row a server, so that lists and sweeps stay light."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="snapshot")
    at = models.BigIntegerField()
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"snapshot of {self.server_id}"


class ProcessTable(models.Model):
    """The newest whole process table, compressed JSON; for servers that send one."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="processes")
    at = models.BigIntegerField()
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"processes of {self.server_id}"
