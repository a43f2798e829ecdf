"""The passing of time: due rows become late or down. Only rows whose time has come are read and written.

Silence says something about a job only while somebody listens. While no web process listens, or the platform is cut
off, nothing falls due; deadlines that passed meanwhile are put off (`excuse_deadlines`).
"""

import logging
import time
from datetime import datetime, timedelta

from django.db import connection, transaction

from apps.core import leases
from apps.core.conditions import begin_condition, end_condition
from apps.core.models import Condition, Lease
from apps.core.watchdog import AWAY, DEAF_AFTER_S, LISTENING
from apps.monitors import bulk
from apps.monitors.connectivity import BLIND
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatState
from apps.monitors.selectors.heartbeats import schedule_of
from apps.monitors.services.beat import Beat
from apps.monitors.services.heartbeat_days import count_days, excuse_missed, fault_of
from apps.monitors.services.heartbeat_misses import AT_ONCE, miss_many
from apps.monitors.services.maintenance import is_any_open
from apps.monitors.services.pings import read_beats, write_beats
from apps.monitors.states.heartbeats import DOWN, LATE, STARTED, UNKNOWN, UP

log = logging.getLogger(__name__)

#: Rows a transaction; each may emit a fact.
BATCH = 100
#: Rows that are written at once, between two looks at the clock.
PART = 20
LATE_BATCH = 2_000
#: Seconds a transaction: on SQLite nobody else writes meanwhile, on PostgreSQL only pings to these rows wait.
BUDGET_S = {"sqlite": 0.04, "postgresql": 0.2}
#: Name of the condition while nobody listens; a worker that has just started gives the web processes time to start.
DEAF, DEAF_GRACE_S = "deaf", 30.0
#: Up to when deadlines that nobody could meet were put off.
EXCUSED = "heartbeats:excused"
#: A row that can't be evaluated is looked at again after this, or when it is changed.
FAULT_RETRY = timedelta(hours=1)
#: A run that is expected within this after we were away is waited for.
NEXT_RUN_MOST = timedelta(hours=1)
_started = time.monotonic()


def expire_due(*, now: datetime) -> int:
    """Apply to a batch of heartbeats what has fallen due by `now`.

    Two workers never take the same row: PostgreSQL passes over locked rows, SQLite has one writer at a time.

    Returns:
        How many were changed; call again while it is not 0.

    Emits: heartbeat.deadline_missed.
    """
    if not HeartbeatState.objects.filter(wake_at__lte=now).exists():
        return 0
    # While there are more of one kind the others wait: to find them, all that are left would be read again each time.
    late = _become_late(now)
    if late == LATE_BATCH:
        return late
    missed = miss_many(now)
    return late + missed + (0 if missed == AT_ONCE[connection.vendor] else _expire(now))


def may_judge(*, now: datetime) -> bool:
    """Return whether silence says anything now; puts off what passed while it did not.

    Emits: system.alert when nobody listens any more, and when somebody does again.
    """
    rows = {row.name: row for row in Lease.objects.filter(name__in=(LISTENING, AWAY, EXCUSED))}
    listened = rows[LISTENING].last_run_at if LISTENING in rows else None
    if listened is not None and (now - listened).total_seconds() > DEAF_AFTER_S:
        if time.monotonic() - _started > DEAF_GRACE_S:
            begin_condition(
                name=DEAF,
                title="Nobody listens to heartbeats",
                message=f"No web process takes pings since {listened:%Y-%m-%d %H:%M:%S} UTC; no heartbeat is called "
                "down until one does.",
            )
        return False
    blind = Condition.objects.filter(name=BLIND).first()
    if blind is not None and blind.ended_at is None:
        return False
    end_condition(name=DEAF, title="Heartbeats are heard again", message="A web process takes pings again.")
    spans: list[tuple[datetime, datetime]] = (
        [(blind.since, blind.ended_at)] if blind is not None and blind.ended_at is not None else []
    )
    away = rows.get(AWAY)
    if away is not None and away.last_run_at is not None:
        spans.append((away.until, away.last_run_at))
    done = rows[EXCUSED].last_run_at if EXCUSED in rows else None
    fresh = [since for since, end in spans if done is None or end > done]
    if fresh:
        excuse_deadlines(since=min(fresh), now=now)
        leases.note_run([EXCUSED])
    return True


def excuse_deadlines(*, since: datetime, now: datetime) -> int:
    """Put off the deadlines that passed while nobody could report.

    A run that is expected within the hour is waited for; else the job gets its grace from now on. The run that did not
    come is counted as unknown, neither as good nor as missed.

    Args:
        since: when the time began in which nobody could report; it ends `now`.

    Returns:
        How many were put off.
    """
    waiting = (UP, LATE, STARTED, UNKNOWN)
    rows = HeartbeatState.objects.filter(deadline__gt=since, deadline__lte=now, status__in=waiting)
    done = 0
    for start in range(0, len(ids := list(rows.values_list("pk", flat=True))), BATCH):
        with transaction.atomic():
            states = list(rows.filter(pk__in=ids[start : start + BATCH]).select_for_update(of=("self",)))
            jobs = Heartbeat.objects.in_bulk([state.pk for state in states])
            for state in states:
                state.deadline = _put_off(jobs[state.pk], now)
                times = (state.deadline, state.run_deadline)
                state.wake_at = min(moment for moment in times if moment is not None)
            HeartbeatState.objects.bulk_update(states, ["deadline", "wake_at"])
            count_days("unknown", now, [(jobs[state.pk].num, 1) for state in states])
        done += len(states)
    return done


def _put_off(job: Heartbeat, now: datetime) -> datetime:
    grace = timedelta(seconds=job.grace_seconds)
    try:
        coming = schedule_of(job).next_after(now)
    except Exception:  # the sweep says what is wrong with it
        return now + grace
    return (coming if coming - now <= NEXT_RUN_MOST else now) + grace


def _become_late(now: datetime) -> int:
    """Set what is only late in one statement: nothing is told about it and nothing else follows from it."""
    table = HeartbeatState._meta.db_table
    due = (
        f"FROM {table} WHERE wake_at <= %s AND status = %s AND next_due_at <= %s AND deadline > %s "
        f"AND (run_deadline IS NULL OR run_deadline > %s) ORDER BY wake_at LIMIT {LATE_BATCH}"
    )
    earlier, where = "MIN", f"heartbeat_id IN (SELECT heartbeat_id {due})"
    if connection.vendor == "postgresql":
        # By its place, a row that is locked is found at half the cost of its key.
        earlier, where = "LEAST", f"ctid = ANY(ARRAY(SELECT ctid {due} FOR NO KEY UPDATE SKIP LOCKED))"
    at = bulk.to_database(now)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET status = %s, since = next_due_at, "
            f"wake_at = {earlier}(deadline, COALESCE(run_deadline, deadline)) WHERE {where}",
            [LATE, at, UP, at, at, at],
        )
        return cursor.rowcount


def _expire(now: datetime) -> int:
    began = time.monotonic()
    is_any_open(now)  # reads the windows before the transaction
    with transaction.atomic():
        due = HeartbeatState.objects.filter(wake_at__lte=now).order_by("wake_at")
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.values_list("heartbeat_id", flat=True)[:BATCH])
        beats = read_beats("h.id", ids)
        done = 0
        for start in range(0, len(beats), PART):
            part = beats[start : start + PART]
            sound: list[Beat] = []
            missed: list[tuple[Beat, int]] = []
            for beat in part:
                before = beat.day, beat.day_missed
                try:
                    _recover(beat, now)
                    beat.expire(now)
                except Exception as error:  # one row that can't be evaluated must not stop the others
                    _set_aside(beat, error, now)
                    continue
                sound.append(beat)
                count = beat.day_missed - (before[1] if beat.day == before[0] else 0)
                if count > 0:
                    missed.append((beat, count))
            excuse_missed(missed, at=now)
            write_beats(sound)
            HeartbeatState.objects.filter(pk__in=[beat.id for beat in sound]).exclude(fault="").update(fault="")
            done += len(part)
            if time.monotonic() - began > BUDGET_S[connection.vendor]:
                break
    return done


def _recover(beat: Beat, now: datetime) -> None:
    """Give one that was shown as unknown the status that its times say."""
    if beat.status == UNKNOWN:
        status = DOWN if beat.alerting else STARTED if beat.open_runs else UP
        beat.status, beat.since = status, now


def _set_aside(beat: Beat, error: Exception, now: datetime) -> None:
    log.error("heartbeat %s can't be evaluated: %s", beat.num, error)
    rows = HeartbeatState.objects.filter(pk=beat.id)
    rows.exclude(status=UNKNOWN).update(status=UNKNOWN, since=now)
    rows.update(wake_at=now + FAULT_RETRY, fault=fault_of(beat, error))
