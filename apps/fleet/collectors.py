"""The fleet's part of health, of the Prometheus exposition, and of what others may ask about servers."""

from collections.abc import Iterator
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.core.registries import Health, SubjectKind, health_parts, metric_collectors, subjects
from apps.fleet import retention
from apps.fleet.models import LogRule, Server
from apps.fleet.querysets import by_ref
from apps.fleet.selectors.servers import latest_values, local_server, presence_counts

Family = tuple[str, str, str, list[tuple[dict[str, str], float]]]

_SERIES = {
    "cpu": ("watchkeeper_server_cpu_percent", "CPU in use."),
    "memory": ("watchkeeper_server_memory_percent", "Memory in use."),
    "swap": ("watchkeeper_server_swap_percent", "Swap in use."),
    "disk": ("watchkeeper_server_disk_percent", "Use of the fullest file system."),
    "inodes": ("watchkeeper_server_inodes_percent", "Use of the inodes of the file system that has fewest left."),
    "load1": ("watchkeeper_server_load1", "Load of the last minute."),
    "temperature": ("watchkeeper_server_temperature_celsius", "Hottest sensor."),
    "rx_rate": ("watchkeeper_server_receive_bytes_per_second", "Received over all physical interfaces."),
    "tx_rate": ("watchkeeper_server_transmit_bytes_per_second", "Sent over all physical interfaces."),
}


def collect_metrics(per_object: bool) -> Iterator[Family]:
    """Yield servers by status and, where `per_object`, the newest figures of those online."""
    yield (
        "watchkeeper_servers",
        "gauge",
        "Servers by status.",
        [({"status": status}, float(count)) for status, count in sorted(presence_counts().items())],
    )
    if not per_object:
        return
    servers = latest_values()
    yield (
        "watchkeeper_server_up",
        "gauge",
        "1 where the server sends samples.",
        [({"server": one.slug}, float(one.is_online)) for one in servers],
    )
    for metric, (name, text) in _SERIES.items():
        # A silent server has no figure: its last one says nothing about now.
        yield (
            name,
            "gauge",
            text,
            [({"server": one.slug}, one.values[metric]) for one in servers if one.is_online and metric in one.values],
        )


def check_sampler() -> Health:
    """Return whether this host is sampled."""
    if not settings.LOCAL_SERVER:
        return Health("off", "LOCAL_SERVER is off")
    server = local_server()
    seen = server.state.last_seen_at if server else None
    if seen is None:
        return Health("degraded", "no sample of this host yet")
    age = (timezone.now() - seen).total_seconds()
    return Health("ok" if age < retention.silent_after_s() else "degraded", f"last sample {age:.0f} s ago")


def _name(ref: str) -> str | None:
    return Server.objects.filter(by_ref(ref)).values_list("name", flat=True).first()


def _resolve(ref: str) -> str | None:
    found = Server.objects.filter(by_ref(ref)).values_list("id", flat=True).first()
    return str(found) if found else None


def _url(ref: str) -> str:
    try:
        return f"/admin/fleet/server/{UUID(ref)}/"
    except ValueError:
        return "/admin/fleet/server/"


def _rule_name(ref: str) -> str | None:
    return LogRule.objects.filter(id=ref).values_list("name", flat=True).first()


subjects.register("server", SubjectKind(find=_name, url=_url, resolve=_resolve))
subjects.register("log_rule", SubjectKind(find=_rule_name, url=lambda ref: f"/admin/fleet/logrule/{ref}/"))
health_parts.register("local_sampler", check_sampler)
metric_collectors.register("fleet", collect_metrics)
