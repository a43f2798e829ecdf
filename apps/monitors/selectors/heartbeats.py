"""What pages and the API show of heartbeats beside their rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, Ping, Run
from apps.monitors.schedules import Schedule
from apps.monitors.states.heartbeats import PAUSED

EPOCH = date(1970, 1, 1)


def ping_url(heartbeat: Heartbeat) -> str:
    """Return the address that the job calls; whoever knows it may ping."""
    return f"{settings.PUBLIC_URL}/ping/{heartbeat.uuid}"


def schedule_of(heartbeat: Heartbeat) -> Schedule:
    """Return when its runs are expected."""
    return Schedule(heartbeat.interval_seconds, heartbeat.cron, heartbeat.timezone)


def next_runs(heartbeat: Heartbeat, n: int = 10) -> list[datetime]:
    """Return the next `n` expected times, in UTC, soonest first.

    Empty while it is paused, and for an interval before the first ping, since nothing is expected then.
    """
    state, schedule, now = heartbeat.state, schedule_of(heartbeat), timezone.now()
    if state.status == PAUSED:
        return []
    first = state.next_due_at
    if first is None or first <= now:
        if first is None and not heartbeat.cron:
            return []
        late = schedule.slots_between(first, now) if first is not None and not heartbeat.cron else 0
        base = (
            first + timedelta(seconds=late * (heartbeat.interval_seconds or 0)) if first and not heartbeat.cron else now
        )
        first = schedule.next_after(base)
    runs = [first]
    while len(runs) < n:
        runs.append(schedule.next_after(runs[-1]))
    return [run.astimezone(UTC) for run in runs]


def daily_uptime(heartbeat: Heartbeat, days: int = 90) -> list[dict[str, Any]]:
    """Return one row a UTC day, oldest first, today last.

    Returns:
        {"date", "uptime_percent", "runs", "ok", "failed", "missed"}; `uptime_percent` is the share of expected and
        reported runs that were fine, null on a day without any.
    """
    state = heartbeat.state
    today = int(timezone.now().timestamp() // 86400)
    first = today - days + 1
    rows = HeartbeatDay.objects.filter(num=heartbeat.num, day__gte=first).values_list("day", "ok", "failed", "missed")
    counts = {day: [ok, failed, missed] for day, ok, failed, missed in rows}
    if first <= state.day <= today:
        known = counts.get(state.day, [0, 0, 0])
        counts[state.day] = [
            a + b for a, b in zip(known, (state.day_ok, state.day_failed, state.day_missed), strict=True)
        ]
    found = []
    for day in range(first, today + 1):
        ok, failed, missed = counts.get(day, (0, 0, 0))
        runs = ok + failed + missed
        found.append(
            {
                "date": (EPOCH + timedelta(days=day)).isoformat(),
                "uptime_percent": round(100 * ok / runs, 3) if runs else None,
                "runs": runs,
                "ok": ok,
                "failed": failed,
                "missed": missed,
            }
        )
    return found


def outputs_of(runs: Sequence[Run]) -> dict[tuple[int, int], str]:
    """Return what the ends of these runs carried as body: (end in ms, n of the end) -> text. One query."""
    ends = [(run.finished_at, run.end_n) for run in runs if run.finished_at is not None and run.end_n is not None]
    if not ends:
        return {}
    wanted = Q()
    for at, n in ends:
        wanted |= Q(at=at, n=n)
    pings = Ping.objects.filter(wanted, num=runs[0].num).values_list("at", "n", "body")
    return {(at, n): body for at, n, body in pings}


def ping_keys_with_counts(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return ping keys with `heartbeat_count`, how many heartbeats belong to each."""
    return rows.annotate(heartbeat_count=Count("heartbeats"))
