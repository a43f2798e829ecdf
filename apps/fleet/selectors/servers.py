"""Servers and their newest figures."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.core.errors import NotFound
from apps.core.principals import Principal
from apps.fleet.models import LatestSnapshot, Server, ServerState
from apps.fleet.querysets import ServerQuerySet, by_ref
from apps.fleet.services.servers import LOCAL_SLUG
from apps.fleet.snapshots import to_iso, unpack
from apps.fleet.states import Presence

#: Metrics of `latest_values` and `recent_values`; "disk:/path" and "inodes:/path" name one mount.
METRICS = ("cpu", "memory", "swap", "disk", "inodes", "load1", "load_per_core", "temperature", "rx_rate", "tx_rate")


def server_list(principal: Principal) -> ServerQuerySet:
    """Return the servers the caller may see, with their state; by name."""
    return Server.objects.visible_to(principal).select_related("state").order_by("name", "id")


def tags_of(servers: Iterable[Server]) -> dict[UUID, list[str]]:
    """Return server id -> its tags, sorted; in one query, without a row object for each of a thousand servers."""
    found: dict[UUID, list[str]] = {server.id: [] for server in servers}
    pairs = Server.tags.through.objects.filter(server_id__in=list(found)).order_by("tag__name")
    for server_id, name in pairs.values_list("server_id", "tag__name"):
        found[server_id].append(name)
    return found


def find_server(ref: str | None, principal: Principal) -> Server:
    """Return the server called `ref`, its slug or its id; this platform's own host where `ref` is empty.

    Raises:
        NotFound: no such server among those the caller may see (404).
    """
    rows = Server.objects.visible_to(principal).select_related("state")
    ref = ref or LOCAL_SLUG
    server = rows.filter(by_ref(ref)).first()
    if server is None:
        raise NotFound("There is no such server, or you may not see it.", details={"server": ref})
    return server


def local_server() -> Server | None:
    """Return this platform's own host; None before its first sample."""
    return Server.objects.select_related("state").filter(is_local=True).first()


def latest_snapshot(server: Server) -> dict[str, Any] | None:
    """Return the newest whole snapshot, with `agent_id` and `server_id`; None before the first sample.

    It stays after the server has gone silent, so that its last known figures can still be read.
    """
    row = LatestSnapshot.objects.filter(server_id=server.id).values_list("body", flat=True).first()
    if row is None:
        return None
    return {**unpack(row), "agent_id": server.slug, "server_id": str(server.id)}


def latest_metrics(server: Server) -> dict[str, Any]:
    """Return the newest figures in the short form.

    Raises:
        NotFound: no sample has come yet (404).

    Source: contract row GET /metrics/{server_id}.
    """
    snapshot = latest_snapshot(server)
    state = ServerState.objects.get(pk=server.id)
    if snapshot is None or state.sample_at is None:
        raise NotFound("This server has not sent a sample yet.", code="no_sample")
    percents = {mount[0]: mount[1] for mount in json.loads(state.mounts)}
    return {
        "server_id": str(server.id),
        "agent_id": server.slug,
        "cpu_percent": state.cpu,
        "memory_percent": state.memory,
        "disk_usage": [
            {
                "path": mount["mountpoint"],
                "total": mount.get("total"),
                "used": mount.get("used"),
                "free": mount.get("free"),
                "percent": percents.get(mount["mountpoint"]),
            }
            for mount in snapshot["disk"].get("mounts") or []
        ],
        "network": [
            {"interface": entry["name"], "bytes_sent": entry.get("txBytes"), "bytes_recv": entry.get("rxBytes")}
            for entry in snapshot["network"].get("interfaces") or []
        ],
        "timestamp": snapshot["timestamp"],
    }


@dataclass(frozen=True, slots=True)
class LatestValues:
    """A server's newest figures for the thresholds.

    Args:
        at: epoch ms of the sample.
        is_online: False where the figures are those of a server that has gone silent: they say nothing about now.
        values: metric -> value; "disk" and "inodes" are of the fullest mount, "disk:/path" and "inodes:/path" of each.
    """

    server_id: UUID
    slug: str
    name: str
    at: int
    last_seen_at: datetime | None
    is_online: bool
    values: dict[str, float]


def latest_values() -> list[LatestValues]:
    """Return the newest figures of every server that ever sent a sample, in one query; percent but for load, rates."""
    rows = ServerState.objects.filter(sample_at__isnull=False).values_list(
        "server_id", "server__slug", "server__name", "sample_at", "last_seen_at", "status", "mounts", *METRICS
    )
    found = []
    for server_id, slug, name, at, seen, status, mounts, *figures in rows:
        values = {metric: value for metric, value in zip(METRICS, figures, strict=True) if value is not None}
        for path, percent, _, _, inodes in json.loads(mounts):
            if percent is not None:
                values[f"disk:{path}"] = percent
            if inodes is not None:
                values[f"inodes:{path}"] = inodes
        found.append(LatestValues(server_id, slug, name, at, seen, status == Presence.ONLINE, values))
    return found


def presence_counts() -> dict[str, int]:
    """Return how many servers there are of each status."""
    counts = dict.fromkeys(Presence.values, 0)
    for status in ServerState.objects.values_list("status", flat=True):
        counts[status] += 1
    return counts


def snapshot_time(server: Server) -> str | None:
    """Return the time of the newest sample; None before the first."""
    at = ServerState.objects.filter(pk=server.id).values_list("sample_at", flat=True).first()
    return None if at is None else to_iso(at)
