"""The passing of time: due rows become late or down. Only rows whose time has come are read and written."""

import time
from datetime import datetime

from django.db import connection, transaction

from apps.monitors import bulk
from apps.monitors.models.heartbeats import HeartbeatState
from apps.monitors.services.pings import read_beats, write_beats
from apps.monitors.states.heartbeats import LATE, UP

#: Rows a transaction; each may emit a fact.
BATCH = 100
#: Rows that are written at once, between two looks at the clock.
PART = 20
LATE_BATCH = 2_000
#: Seconds a transaction: on SQLite nobody else writes meanwhile, on PostgreSQL only pings to these rows wait.
BUDGET_S = {"sqlite": 0.04, "postgresql": 0.2}


def expire_due(*, now: datetime) -> int:
    """Apply to a batch of heartbeats what has fallen due by `now`.

    Two workers never take the same row: PostgreSQL passes over locked rows, SQLite has one writer at a time.

    Returns:
        How many were changed; call again while it is not 0.

    Emits: heartbeat.deadline_missed.
    """
    if not HeartbeatState.objects.filter(wake_at__lte=now).exists():
        return 0
    return _become_late(now) + _expire(now)


def _become_late(now: datetime) -> int:
    """Set what is only late in one statement: nothing is told about it and nothing else follows from it."""
    table = HeartbeatState._meta.db_table
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    earlier = "LEAST" if connection.vendor == "postgresql" else "MIN"
    at = bulk.to_database(now)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET status = %s, since = next_due_at, "
            f"wake_at = {earlier}(deadline, COALESCE(run_deadline, deadline)) "
            f"WHERE heartbeat_id IN (SELECT heartbeat_id FROM {table} "
            f"WHERE wake_at <= %s AND status = %s AND deadline > %s "
            f"AND (run_deadline IS NULL OR run_deadline > %s) ORDER BY wake_at LIMIT {LATE_BATCH} {skip})",
            [LATE, at, UP, at, at],
        )
        return cursor.rowcount


def _expire(now: datetime) -> int:
    began = time.monotonic()
    with transaction.atomic():
        due = HeartbeatState.objects.filter(wake_at__lte=now).order_by("wake_at")
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.values_list("heartbeat_id", flat=True)[:BATCH])
        beats = [beat for _, beat in read_beats("h.id", ids)]
        done = []
        for start in range(0, len(beats), PART):
            part = beats[start : start + PART]
            for beat in part:
                beat.expire(now)
            write_beats(part)
            done += part
            if time.monotonic() - began > BUDGET_S[connection.vendor]:
                break
    return len(done)
