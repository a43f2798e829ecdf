"""The heartbeat doctor: what a job will do, what its runs say, and why it was down."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from apps.core.models import Event
from apps.monitors.forecasts import forecast
from apps.monitors.models.heartbeats import Heartbeat, Ping, Run, of_ms
from apps.monitors.run_advice import RUNS_MOST, Offset, find_offset, suggest
from apps.monitors.schedules import duration_words, zone_of
from apps.monitors.selectors.heartbeats import next_runs, schedule_of
from apps.monitors.states.heartbeats import DOWN, LATE, NEW, PAUSED, STARTED, UNKNOWN

#: Facts that are read to tell the downs of a heartbeat.
FACTS_MOST = 200
ARRIVALS_MOST = 60
_ENDS = {"heartbeat.recovered", "heartbeat.paused", "heartbeat.resumed"}
_BEGINS = {"heartbeat.deadline_missed", "heartbeat.failed"}


@dataclass(frozen=True, slots=True)
class Down:
    """A time in which it was down; `until` is None while it is."""

    since: datetime
    until: datetime | None
    reason: str  # "missed" or "failed"
    sentence: str


def diagnose(heartbeat: Heartbeat, now: datetime | None = None) -> dict[str, Any]:
    """Return all that can be said of a heartbeat by its schedule, its runs and its history.

    Returns:
        {"summary", "schedule", "timezone", "next_runs": [{"at", "local"}], "warnings", "offset", "suggestion",
        "downs"}; times in UTC, `local` in the job's own zone, downs newest first.
    """
    now = now or timezone.now()
    schedule = schedule_of(heartbeat)
    downs = downs_of(heartbeat)
    try:
        seen = forecast(
            schedule, now=now, grace_seconds=heartbeat.grace_seconds, early_seconds=heartbeat.early_seconds
        )  # fmt: skip
    except Exception as error:  # a row that was written behind our back: say what is wrong, and show the rest
        return _unreadable(heartbeat, downs, error, now)
    offset = offset_of(heartbeat, seen.period_s)
    return {
        "summary": summary_of(heartbeat, downs, now),
        "schedule": seen.words,
        "timezone": heartbeat.timezone,
        "next_runs": local_times(next_runs(heartbeat), heartbeat.timezone),
        "warnings": seen.warnings,
        "offset": None if offset is None else asdict(offset),
        "suggestion": None if offset is not None else _suggestion(heartbeat, seen.period_s),
        "downs": [asdict(down) for down in downs],
    }


def _unreadable(heartbeat: Heartbeat, downs: list[Down], error: Exception, now: datetime) -> dict[str, Any]:
    schedule = schedule_of(heartbeat).words()
    warning = f"Its schedule can't be worked out ({schedule}): {error or type(error).__name__}. Give it another one."
    return {
        "summary": summary_of(heartbeat, downs, now),
        "schedule": schedule,
        "timezone": heartbeat.timezone,
        "next_runs": [],
        "warnings": [warning],
        "offset": None,
        "suggestion": None,
        "downs": [asdict(down) for down in downs],
    }


def local_times(runs: list[datetime], zone_name: str) -> list[dict[str, Any]]:
    """Return times in UTC together with what the clock of a zone shows then."""
    zone = zone_of(zone_name) if runs else UTC
    return [{"at": run, "local": run.astimezone(zone).isoformat()} for run in runs]


def downs_of(heartbeat: Heartbeat) -> list[Down]:
    """Return when it was down and why, newest first, as far as the log of facts reaches back."""
    facts = Event.objects.filter(
        subject_kind="heartbeat", subject_id=str(heartbeat.id), name__in=_BEGINS | _ENDS
    ).order_by("-id")
    rows = list(facts.values_list("name", "at", "data")[:FACTS_MOST])
    found: list[Down] = []
    for name, at, data in reversed(rows):
        is_open = bool(found) and found[-1].until is None
        if name in _ENDS:
            if is_open:
                last = found[-1]
                found[-1] = Down(last.since, at, last.reason, last.sentence)
        elif not is_open:
            reason = "failed" if name == "heartbeat.failed" else "missed"
            found.append(Down(at, None, reason, str(data.get("message", ""))))
    return found[::-1]


def summary_of(heartbeat: Heartbeat, downs: list[Down], now: datetime) -> str:
    """Return what its state means, in one sentence; of a "down" the reason that was kept when it went down."""
    state = heartbeat.state
    if state.status == NEW:
        return "Waiting for the first ping. Until then nothing is expected and nothing alerts."
    if state.status == PAUSED:
        return "Paused: nobody waits for it." + (" A ping resumes it." if heartbeat.resume_on_ping else "")
    if state.status == UNKNOWN:
        return state.fault or "Nobody looked at it in time: how it stands is not known."
    if state.status == DOWN:
        if downs and downs[0].until is None and downs[0].sentence:
            return downs[0].sentence
        if state.last_exit_code:
            return f"The last run failed with exit code {state.last_exit_code}."
        return "No sign of life came by its deadline."
    if state.status == LATE and state.deadline:
        left = duration_words(max(0, (state.deadline - now).total_seconds()))
        return f"The sign of life is overdue; it counts as down in {left} unless it comes."
    if state.status == STARTED:
        return "A run has started and has not reported its end yet."
    return "The last run was fine."


def offset_of(heartbeat: Heartbeat, period_s: int) -> Offset | None:
    """Return the steady offset between the expected and the actual times of its runs, if there is one."""
    if not heartbeat.cron:
        return None
    since = _schedule_changed_at(heartbeat)
    rows = Run.objects.filter(num=heartbeat.num, at__gte=since).order_by("-at", "-n")
    starts = [of_ms(at) for at in rows.values_list("at", flat=True)[:RUNS_MOST]]
    arrivals = starts or _successes(heartbeat, since, RUNS_MOST)
    others = Heartbeat.objects.exclude(timezone=heartbeat.timezone).exclude(cron="")
    likely = others.order_by().values_list("timezone", flat=True).distinct()[:20]
    return find_offset(
        schedule_of(heartbeat), arrivals, period_s=period_s, likely=sorted(likely), are_starts=bool(starts)
    )


def _suggestion(heartbeat: Heartbeat, period_s: int) -> dict[str, Any] | None:
    found = suggest(
        schedule_of(heartbeat),
        _successes(heartbeat, _schedule_changed_at(heartbeat), ARRIVALS_MOST),
        grace_s=heartbeat.grace_seconds,
        early_s=heartbeat.early_seconds,
        period_s=period_s,
    )
    return None if found is None else asdict(found)


def _successes(heartbeat: Heartbeat, since_ms: int, count: int) -> list[datetime]:
    rows = Ping.objects.filter(num=heartbeat.num, at__gte=since_ms).order_by("-at", "-n")
    # Read by key and picked here: a filter by kind would walk the whole log of a job that only ever logs.
    picked = [of_ms(at) for at, kind in rows.values_list("at", "kind")[: count * 10] if kind == Ping.SUCCESS]
    return picked[:count]


def _schedule_changed_at(heartbeat: Heartbeat) -> int:
    """Return since when its expression is what it is, in epoch ms: what came before says nothing about it."""
    changes = Event.objects.filter(subject_kind="heartbeat", subject_id=str(heartbeat.id), name="heartbeat.updated")
    for at, audit in changes.order_by("-id").values_list("at", "audit")[:20]:
        if {"cron", "interval_seconds"} & set(audit.get("after") or ()):
            return int(at.timestamp() * 1000)
    return 0
