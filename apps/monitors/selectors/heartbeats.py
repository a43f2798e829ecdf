"""What pages and the API show of heartbeats beside their rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, HeartbeatWindow, Ping, Run, of_ms
from apps.monitors.schedules import Schedule
from apps.monitors.states.heartbeats import PAUSED

EPOCH = date(1970, 1, 1)


def ping_url(heartbeat: Heartbeat) -> str:
    """Return the address that the job calls; whoever knows it may ping."""
    return f"{settings.PUBLIC_URL}/ping/{heartbeat.uuid}"


def slug_url(heartbeat: Heartbeat) -> str:
    """Return the address by its slug below its ping key; "" where it has none."""
    if heartbeat.ping_key is None or not heartbeat.slug:
        return ""
    return f"{settings.PUBLIC_URL}/ping/k/{heartbeat.ping_key.key}/{heartbeat.slug}"


def mail_address(heartbeat: Heartbeat) -> str:
    """Return the address to which mail is a ping; "" where no mail is taken (SMTP_PORT)."""
    return f"{heartbeat.uuid}@{settings.SMTP_DOMAIN}" if settings.SMTP_PORT else ""


def sources_of(heartbeat: Heartbeat) -> list[dict[str, Any]]:
    """Return the expected sources of a heartbeat: whether each came for the run that is collected, and when last.

    Returns:
        [{"name", "came", "last"}], in the order of the configuration; those that nobody expects come after.
    """
    if not heartbeat.expected_pings:
        return []
    window = HeartbeatWindow.objects.filter(heartbeat=heartbeat).first() or HeartbeatWindow()
    names = [*heartbeat.expected_sources, *sorted(set(window.last) - set(heartbeat.expected_sources) - {""})]
    return [
        {"name": name, "came": name in window.seen, "last": of_ms(window.last[name]) if name in window.last else None}
        for name in names
    ]


def log_page(heartbeat: Heartbeat, *, kind: str, before: str, count: int) -> tuple[list[dict[str, Any]], str]:
    """Return a page of the log, newest first, and what names the next one ("" for none).

    Args:
        before: from the former page; "" for the first. What is none of ours counts as "".
    """
    rows = Ping.objects.filter(num=heartbeat.num).order_by("-at", "-n")
    if kind in (Ping.SUCCESS, Ping.START, Ping.FAIL, Ping.LOG):
        rows = rows.filter(kind=kind)
    at, _, n = before.partition("-")
    if at.isdigit() and n.isdigit() and len(at) < 18 and len(n) < 18:
        # The first condition follows from the others; by it alone SQLite finds the place in the index.
        rows = rows.filter(Q(at__lt=int(at)) | Q(at=int(at), n__lt=int(n)), at__lte=int(at))
    found = list(rows[: count + 1])
    last = found[count - 1] if len(found) > count else None
    return (
        [{"at": of_ms(ping.at), "one": ping} for ping in found[:count]],
        f"{last.at}-{last.n}" if last is not None else "",
    )


def schedule_of(heartbeat: Heartbeat) -> Schedule:
    """Return when its runs are expected."""
    return Schedule(heartbeat.interval_seconds, heartbeat.cron, heartbeat.timezone)


def next_runs(heartbeat: Heartbeat, n: int = 10) -> list[datetime]:
    """Return the next `n` expected times, in UTC, soonest first.

    Empty while it is paused, and for an interval before the first ping, since nothing is expected then.
    """
    if heartbeat.state.status == PAUSED:
        return []
    try:
        return _next_runs(heartbeat, n)
    except Exception:  # a schedule that was written behind our back; the doctor says what is wrong with it
        return []


def _next_runs(heartbeat: Heartbeat, n: int) -> list[datetime]:
    state, schedule, now = heartbeat.state, schedule_of(heartbeat), timezone.now()
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
