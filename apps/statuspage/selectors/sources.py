"""What was seen of the things behind components: their status and their last days, many at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from apps.fleet.models import Server, ServerState
from apps.monitors.models import (
    CertificateMonitor,
    CertificateMonitorState,
    Endpoint,
    EndpointState,
    Heartbeat,
    HeartbeatState,
)
from apps.monitors.selectors.bars import DayBar, daily_bars
from apps.monitors.services.maintenance import is_any_open, is_under_maintenance
from apps.statuspage.models import Component, StatusChange
from apps.statuspage.states import DEGRADED, MAINTENANCE, MAJOR, NO_DATA, OPERATIONAL, Source

DAYS = 90
#: So much later than due, and what was seen last says nothing any more.
OVERDUE_LEAST_S = 120

_SERVER = {"online": OPERATIONAL, "offline": MAJOR}
_HEARTBEAT = {"up": OPERATIONAL, "started": OPERATIONAL, "late": DEGRADED, "down": MAJOR}
_CERTIFICATE = {"valid": OPERATIONAL, "expiring": DEGRADED, "expired": MAJOR, "error": MAJOR}
_ALERT = {"critical": MAJOR, "warning": DEGRADED}
#: DayBar.status -> status of a component's day.
_DAY = {"up": OPERATIONAL, "degraded": DEGRADED, "down": MAJOR, "maintenance": MAINTENANCE}


def derived_statuses(components: Iterable[Component], now: datetime) -> dict[UUID, str]:
    """Return what was seen of each component, by component id; one query a kind of thing."""
    by_source: dict[str, dict[str, UUID]] = defaultdict(dict)
    keys: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for component in components:
        by_source[component.source][component.source_id] = component.id
        keys[component.source, component.source_id].append(component.id)
    found: dict[UUID, str] = {}
    for source, ids in by_source.items():
        reader = _READERS.get(source)
        seen = reader(list(ids), now) if reader else {}
        for identifier in ids:
            for component_id in keys[source, identifier]:
                found[component_id] = seen.get(identifier, NO_DATA)
    return found


def _uuids(ids: Iterable[str]) -> list[UUID]:
    found = []
    for text in ids:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _is_overdue(due: datetime | None, interval_s: int, now: datetime) -> bool:
    return due is not None and due < now - timedelta(seconds=max(OVERDUE_LEAST_S, 2 * interval_s))


def _endpoints(ids: list[str], now: datetime) -> dict[str, str]:
    rows = EndpointState.objects.filter(pk__in=_uuids(ids)).values_list(
        "pk", "status", "alert_level", "next_check_at", "endpoint__interval_s"
    )
    found = {}
    for pk, status, level, due, interval in rows:
        if status in ("unknown", "paused") or _is_overdue(due, interval, now):
            found[str(pk)] = NO_DATA
        else:
            # A single failure under the monitor's threshold is nobody's outage yet, and one good answer no recovery.
            found[str(pk)] = _ALERT.get(level, OPERATIONAL)
    return found


def _heartbeats(ids: list[str], now: datetime) -> dict[str, str]:
    rows = HeartbeatState.objects.filter(pk__in=_uuids(ids)).values_list("pk", "status")
    return {str(pk): _HEARTBEAT.get(status, NO_DATA) for pk, status in rows}


def _servers(ids: list[str], now: datetime) -> dict[str, str]:
    rows = ServerState.objects.filter(pk__in=_uuids(ids)).values_list("pk", "status")
    return {str(pk): _SERVER.get(status, NO_DATA) for pk, status in rows}


def _certificates(ids: list[str], now: datetime) -> dict[str, str]:
    rows = CertificateMonitorState.objects.filter(pk__in=_uuids(ids)).values_list(
        "pk", "status", "next_check_at", "certificate__interval_s"
    )
    return {
        str(pk): NO_DATA if _is_overdue(due, interval, now) else _CERTIFICATE.get(status, NO_DATA)
        for pk, status, due, interval in rows
    }


_READERS: dict[str, Any] = {
    Source.ENDPOINT: _endpoints,
    Source.HEARTBEAT: _heartbeats,
    Source.SERVER: _servers,
    Source.CERTIFICATE: _certificates,
}


def under_maintenance(components: Sequence[Component], now: datetime) -> set[UUID]:
    """Return the components whose thing has a maintenance window open."""
    if not is_any_open(now):
        return set()
    tags = _tags(components)
    return {
        component.id
        for component in components
        if is_under_maintenance(component.source, component.source_id, tags[component.source_id], now)
    }


def _tags(components: Iterable[Component]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    ids: dict[str, list[str]] = defaultdict(list)
    for component in components:
        ids[component.source].append(component.source_id)
    models: dict[str, Any] = {
        Source.ENDPOINT: Endpoint,
        Source.HEARTBEAT: Heartbeat,
        Source.CERTIFICATE: CertificateMonitor,
        Source.SERVER: Server,
    }
    for source, model in models.items():
        if ids[source]:
            rows = model.objects.filter(pk__in=_uuids(ids[source]), tags__isnull=False).values_list("pk", "tags__name")
            for pk, name in rows:
                found[str(pk)].append(name)
    return found


def day_statuses(components: Sequence[Component], now: datetime, days: int = DAYS) -> dict[UUID, list[DayBar]]:
    """Return for each component one bar a UTC day, oldest first, today last.

    Endpoints and heartbeats by their results; other things by the statuses in which they were shown, a bar counting
    the minutes of the day.
    """
    nums: dict[str, dict[str, int]] = {}
    for source, model in ((Source.ENDPOINT, Endpoint), (Source.HEARTBEAT, Heartbeat)):
        ids = _uuids(component.source_id for component in components if component.source == source)
        rows: Any = model.objects.filter(pk__in=ids).values_list("pk", "num") if ids else ()
        nums[source] = {str(pk): num for pk, num in rows}
    bars = {
        source: daily_bars(source.value, wanted.values(), days, now) if wanted else {}
        for source, wanted in ((Source.ENDPOINT, nums[Source.ENDPOINT]), (Source.HEARTBEAT, nums[Source.HEARTBEAT]))
    }
    found: dict[UUID, list[DayBar]] = {}
    others = []
    for component in components:
        num = nums.get(component.source, {}).get(component.source_id)
        if num is None:
            others.append(component)
        else:
            found[component.id] = bars[Source(component.source)][num]
    return {**found, **_from_changes(others, now, days)}


def status_of_day(bar: DayBar) -> str:
    """Return the status of a component's day."""
    return _DAY.get(bar.status, NO_DATA)


_MINUTES = {
    OPERATIONAL: "up",
    DEGRADED: "degraded",
    MAJOR: "down",
    "partial_outage": "down",
    MAINTENANCE: "maintenance",
}


def _from_changes(components: Sequence[Component], now: datetime, days: int) -> dict[UUID, list[DayBar]]:
    if not components:
        return {}
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days - 1)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    changes: dict[UUID, list[tuple[datetime, str]]] = defaultdict(list)
    # The last change before the first day says how that day began.
    rows = (
        StatusChange.objects.filter(component__in=components).order_by("id").values_list("component_id", "at", "status")
    )
    for component_id, at, status in rows:
        course = changes[component_id]
        if at <= begin:
            course[:] = [(begin, status)]
        else:
            course.append((at, status))
    found = {}
    for component in components:
        bars = {first + timedelta(days=n): DayBar(first + timedelta(days=n)) for n in range(days)}
        course = changes[component.id]
        for position, (start, status) in enumerate(course):
            end = course[position + 1][0] if position + 1 < len(course) else now
            _count(bars, start, end, status)
        found[component.id] = list(bars.values())
    return found


def _count(bars: dict[date, DayBar], start: datetime, end: datetime, status: str) -> None:
    field = _MINUTES.get(status, "unknown")
    at = start.astimezone(UTC)
    while at < end:
        tomorrow = datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1)
        until = min(end, tomorrow)
        bar = bars.get(at.date())
        if bar is not None:
            setattr(bar, field, getattr(bar, field) + max(1, round((until - at).total_seconds() / 60)))
        at = until
