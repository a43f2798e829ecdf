"""What the fleet's API takes and gives."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.fleet.models import Server
from apps.fleet.signalling import SIGNALS
from apps.fleet.states import Health, Presence


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


class ServerSerializer(serializers.Serializer[Server]):
    """A server with its figures. The fields describe; `to_representation` writes them at once for long lists."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    agent_id = serializers.CharField(help_text="The slug.")
    name = serializers.CharField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    description = serializers.CharField()
    metadata = serializers.DictField()
    tags = serializers.ListField(child=serializers.CharField())
    is_local = serializers.BooleanField(help_text="The host that the platform itself runs on.")
    ssh_connection_id = serializers.UUIDField(allow_null=True, help_text="How commands reach it.")
    status = serializers.ChoiceField(choices=Presence.choices)
    health_status = serializers.ChoiceField(
        choices=Health.choices, help_text="The worst open alert; unknown before the first sample."
    )
    last_seen = serializers.DateTimeField(allow_null=True)
    cpu_percent = serializers.FloatField(allow_null=True)
    memory_percent = serializers.FloatField(allow_null=True)
    disk_percent = serializers.FloatField(allow_null=True, help_text="Of the fullest file system.")
    load1 = serializers.FloatField(allow_null=True)
    rx_rate = serializers.FloatField(allow_null=True, help_text="Bytes a second.")
    tx_rate = serializers.FloatField(allow_null=True, help_text="Bytes a second.")
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, instance: Server) -> dict[str, Any]:
        """Return the server as its fields say."""
        state = instance.state
        known = self.context.get("tags")
        tags = [tag.name for tag in instance.tags.all()] if known is None else known[instance.id]
        return {
            "id": str(instance.id),
            "slug": instance.slug,
            "agent_id": instance.slug,
            "name": instance.name,
            "host": instance.host,
            "port": instance.port,
            "description": instance.description,
            "metadata": instance.metadata,
            "tags": tags,
            "is_local": instance.is_local,
            "ssh_connection_id": str(instance.ssh_connection_id) if instance.ssh_connection_id else None,
            "status": state.status,
            "health_status": state.health_status,
            "last_seen": _iso(state.last_seen_at),
            "cpu_percent": state.cpu,
            "memory_percent": state.memory,
            "disk_percent": state.disk,
            "load1": state.load1,
            "rx_rate": state.rx_rate,
            "tx_rate": state.tx_rate,
            "revision": instance.revision,
            "created_at": _iso(instance.created_at),
            "updated_at": _iso(instance.updated_at),
        }


class ServerWriteSerializer(serializers.Serializer[Server]):
    """What may be written of a server."""

    name = serializers.CharField(max_length=200)
    slug = serializers.CharField(
        max_length=64, required=False, allow_blank=True, help_text="Made from the name where absent."
    )
    host = serializers.CharField(max_length=255, required=False, allow_blank=True)
    port = serializers.IntegerField(min_value=1, max_value=65535, required=False)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    metadata = serializers.DictField(required=False)
    tags = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=50)
    ssh_connection_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="How commands reach it; binding one needs ssh_connections:use."
    )


class DiskUsageSerializer(serializers.Serializer[Any]):
    """A file system."""

    path = serializers.CharField()
    total = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField(allow_null=True)
    free = serializers.IntegerField(allow_null=True)
    percent = serializers.FloatField(allow_null=True)


class InterfaceSerializer(serializers.Serializer[Any]):
    """A network interface's counters."""

    interface = serializers.CharField()
    bytes_sent = serializers.IntegerField(allow_null=True)
    bytes_recv = serializers.IntegerField(allow_null=True)


class MetricsSerializer(serializers.Serializer[Any]):
    """A server's newest figures."""

    server_id = serializers.UUIDField()
    agent_id = serializers.CharField()
    cpu_percent = serializers.FloatField(allow_null=True)
    memory_percent = serializers.FloatField(allow_null=True)
    disk_usage = DiskUsageSerializer(many=True)
    network = InterfaceSerializer(many=True)
    timestamp = serializers.DateTimeField()


class RefusedSampleSerializer(serializers.Serializer[Any]):
    """A sample that was not taken."""

    index = serializers.IntegerField()
    reason = serializers.CharField()


class PushResultSerializer(serializers.Serializer[Any]):
    """What became of a push."""

    accepted = serializers.IntegerField()
    refused = RefusedSampleSerializer(many=True)


class RangeSerializer(serializers.Serializer[Any]):
    """Average, least and most of a bucket; the same value thrice for a raw sample."""

    avg = serializers.FloatField()
    min = serializers.FloatField()
    max = serializers.FloatField()


class TrafficSerializer(serializers.Serializer[Any]):
    """Bytes a second."""

    rx = RangeSerializer(allow_null=True)
    tx = RangeSerializer(allow_null=True)


class DiskTrafficSerializer(serializers.Serializer[Any]):
    """Bytes a second."""

    read = RangeSerializer(allow_null=True)
    write = RangeSerializer(allow_null=True)


class HistoryPointSerializer(serializers.Serializer[Any]):
    """A sample or bucket; a metric that was not measured is null."""

    timestamp = serializers.DateTimeField()
    count = serializers.IntegerField(help_text="Samples in it.")
    cpu = RangeSerializer(allow_null=True)
    memory = RangeSerializer(allow_null=True)
    swap = RangeSerializer(allow_null=True)
    disk = RangeSerializer(allow_null=True)
    inodes = RangeSerializer(allow_null=True)
    load = RangeSerializer(allow_null=True)
    temperature = RangeSerializer(allow_null=True)
    network = TrafficSerializer()
    disk_io = DiskTrafficSerializer()


class _HistoryBase(serializers.Serializer[Any]):
    server_id = serializers.UUIDField()
    agent_id = serializers.CharField()
    resolution = serializers.CharField()
    data = HistoryPointSerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="Address of the next page.")


class ServerHistorySerializer(_HistoryBase):
    """Figures over time."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class ProcessSerializer(serializers.Serializer[Any]):
    """A process. `cpu` is percent of one core, `memory` percent of all; secrets in `cmdline` are masked."""

    pid = serializers.IntegerField()
    name = serializers.CharField()
    cmdline = serializers.CharField(allow_null=True)
    user = serializers.CharField(allow_null=True)
    state = serializers.CharField(allow_null=True, help_text="R, S, D, Z, T, I or X.")
    cpu = serializers.FloatField(allow_null=True)
    memory = serializers.FloatField(allow_null=True)
    rss = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    threads = serializers.IntegerField(allow_null=True)
    startTime = serializers.DateTimeField(allow_null=True)


class SignalSerializer(serializers.Serializer[Any]):
    """A signal to a process."""

    signal = serializers.ChoiceField(
        choices=sorted((number, f"SIG{name}") for number, name in SIGNALS.items()),
        help_text="15 asks it to end, 9 ends it, 19 stops it, 18 lets it go on, 1 and 2 as their names say.",
    )
    agent_id = serializers.CharField(required=False, help_text="Slug or id of the server; default `local`.")
    start_time = serializers.CharField(
        required=False, max_length=40, help_text="`startTime` of the process that is meant; 409 where it is another."
    )


class SignalledProcessSerializer(ProcessSerializer):
    """The process afterwards."""

    signal = serializers.IntegerField()
    is_running = serializers.BooleanField()


class ProcessListSerializer(serializers.Serializer[Any]):
    """A page of the newest process table."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    timestamp = serializers.DateTimeField(allow_null=True, help_text="When the table was read.")
    server_id = serializers.UUIDField()
    agent_id = serializers.CharField()
    results = ProcessSerializer(many=True)
