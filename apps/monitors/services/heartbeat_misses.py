"""Deadlines that many jobs miss at once: a network falls silent, and with it every job behind it.

What `Beat.expire` does to a job that reported well, has no run open and no rules of its own is the same for all of
them. It is done here in a few statements for many, without a `Beat` for each; every job still gets its own fact. All
others, and whatever can't be worked out, are left to the sweep's usual way.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.core.events import Emission, Subject, emit_many
from apps.core.principals import system
from apps.monitors import bulk
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, HeartbeatState
from apps.monitors.schedules import Schedule, duration_words
from apps.monitors.services.beat import RECOUNT, moment
from apps.monitors.services.heartbeat_days import count_days
from apps.monitors.services.maintenance import is_any_open, is_under_maintenance
from apps.monitors.states.heartbeats import DOWN, LATE, UNKNOWN, UP

#: Rows a transaction, each with its fact: on SQLite nobody else writes meanwhile.
AT_ONCE = {"sqlite": 250, "postgresql": 1_000}


@dataclass(frozen=True, slots=True)
class _Miss:
    """A job whose run did not come, and when the sweep looks at it again."""

    id: UUID
    num: int
    name: str
    data: dict[str, Any]
    wake_at: datetime
    finished_day: tuple[int, int, int, int] | None  # day, ok, failed, missed


def miss_many(now: datetime) -> int:
    """Take down the plain jobs of a batch whose deadline has passed by `now`; equal to `Beat.expire` for each.

    Returns:
        How many were changed; where it is `AT_ONCE`, there may be more.

    Emits: heartbeat.deadline_missed.
    """
    is_any = is_any_open(now)  # reads the windows before the transaction
    with transaction.atomic():
        missed = list(_misses(_read(now), now))
        if not missed:
            return 0
        tags = _tags_of([one.id for one in missed])
        excused = {
            one.num for one in missed if is_any and is_under_maintenance("heartbeat", one.id, tags.get(one.id, ()), now)
        }
        _close_days(missed)
        _write(missed, excused, now)
        count_days("maintenance", now, [(num, 1) for num in sorted(excused)])
        actor = system("monitors")
        emit_many(
            Emission(
                "heartbeat.deadline_missed",
                subject=Subject("heartbeat", str(one.id), one.name),
                actor=actor,
                data=one.data,
                level="critical",
                tags=tags.get(one.id, ()),
            )
            for one in missed
        )
    return len(missed)


def _read(now: datetime) -> list[Sequence[Any]]:
    """Return the jobs, locked; those that somebody else has locked are passed over."""
    at = bulk.to_database(now)
    return bulk.fetch(_select(AT_ONCE[connection.vendor]), [at, at, UP, LATE, UNKNOWN])


_CONFIG = ("num", "name", "interval_seconds", "cron", "timezone", "grace_seconds")
_TIMES = ("next_due_at", "deadline", "last_ping_at")
_COUNTS = ("day", "day_ok", "day_failed", "day_missed")


@lru_cache(4)
def _select(most: int) -> str:
    inner = ["s.heartbeat_id", *(f"h.{name}" for name in _CONFIG), *(f"s.{name}" for name in (*_TIMES, *_COUNTS))]
    outer = ["heartbeat_id", *_CONFIG, *(bulk.time_expression(name) for name in _TIMES), *_COUNTS]
    # A configuration that was changed meanwhile does not fit the state that was locked: such a job waits for its turn.
    due = (
        f"SELECT {', '.join(inner)} FROM {HeartbeatState._meta.db_table} s "
        f"JOIN {Heartbeat._meta.db_table} h ON h.id = s.heartbeat_id AND h.revision = s.config_revision "
        "WHERE s.wake_at <= %s AND s.deadline <= %s AND s.status IN (%s, %s, %s) AND s.open_runs = 0 "
        "AND s.run_deadline IS NULL AND s.next_due_at IS NOT NULL AND NOT s.alerting AND s.fault = '' "
        f"AND NOT h.has_rules ORDER BY s.wake_at LIMIT {most}"
    )
    skip = "FOR UPDATE OF s SKIP LOCKED" if connection.vendor == "postgresql" else ""
    return bulk.select(outer, f"FROM ({due} {skip}) AS due")


def _misses(rows: Iterable[Sequence[Any]], now: datetime) -> Iterator[_Miss]:
    today = int(now.timestamp() // 86400)
    for key, num, name, interval, cron, zone, grace, *times, day, ok, failed, missed in rows:
        due, deadline, last = map(bulk.time_from_database, times)
        assert due is not None and deadline is not None
        number = key if isinstance(key, UUID) else UUID(key)
        schedule = _schedule(interval, cron, zone)
        try:
            coming = schedule.next_after(due)
        except Exception:  # the sweep says what is wrong with it
            continue
        latest = f", at the latest {moment(deadline, near=due)}" if grace else ""
        heard = f"last ping {moment(last, near=due)}" if last else "no ping yet"
        data = {
            "heartbeat_id": str(number),
            "name": name,
            "due_at": due.isoformat(),
            "grace_seconds": grace,
            "last_ping_at": last.isoformat() if last else None,
            "message": f"{name} was expected at {moment(due)}{latest} ({_words(schedule, grace)}); {heard}.",
        }
        recount = min(due + RECOUNT, max(_end_of(max(day, today)), due))
        is_over = day < today and (ok or failed or missed)
        yield _Miss(number, num, name, data, max(coming, recount), (day, ok, failed, missed) if is_over else None)


_schedule = lru_cache(4096)(Schedule)


@lru_cache(4096)
def _words(schedule: Schedule, grace_s: int) -> str:
    return f"{schedule.words()}, {duration_words(grace_s)} grace" if grace_s else schedule.words()


@lru_cache(8)
def _end_of(day: int) -> datetime:
    return datetime.fromtimestamp((day + 1) * 86400 - 1, UTC)


def _tags_of(ids: Iterable[UUID]) -> dict[UUID, list[str]]:
    links = Heartbeat.tags.through.objects.filter(heartbeat_id__in=ids)
    found: dict[UUID, list[str]] = {}
    for pk, name in links.values_list("heartbeat_id", "tag__name"):
        found.setdefault(pk, []).append(name)
    return found


def _write(missed: Sequence[_Miss], excused: set[int], now: datetime) -> None:
    """Set the states; a run that did not come during maintenance does not count against the job."""
    times = bulk.all_to_database([one.wake_at for one in missed])
    keys = [one.id.hex for one in missed]
    rows = [
        (key, str(wake_at), 0 if one.num in excused else 1)
        for key, wake_at, one in zip(keys, times, missed, strict=True)
    ]
    at, today = bulk.to_database(now), int(now.timestamp() // 86400)
    with connection.cursor() as cursor:
        cursor.execute(_update(), [DOWN, at, True, at, *[today] * 5, json.dumps(rows)])


@lru_cache(4)
def _update() -> str:
    table = HeartbeatState._meta.db_table
    if connection.vendor == "postgresql":
        parts = "(value ->> 0)::uuid AS id, (value ->> 1)::timestamptz AS wake_at, (value ->> 2)::int AS counted"
        rows = f"(SELECT {parts} FROM json_array_elements(%s::json) AS rows(value))"
    else:
        parts = "value ->> 0 AS id, value ->> 1 AS wake_at, value ->> 2 AS counted"
        rows = f"(SELECT {parts} FROM json_each(%s))"
    kept = [f"{name} = CASE WHEN day < %s THEN 0 ELSE {name} END" for name in ("day_ok", "day_failed")]
    return (
        f"UPDATE {table} SET status = %s, since = %s, alerting = %s, down_since = %s, deadline = NULL, "
        "missed_until = next_due_at, consecutive_failures = consecutive_failures + 1, "
        f"{', '.join(kept)}, day_missed = CASE WHEN day < %s THEN 0 ELSE day_missed END + v.counted, "
        "day = CASE WHEN day < %s THEN %s ELSE day END, wake_at = v.wake_at "
        f"FROM {rows} AS v WHERE {table}.heartbeat_id = v.id"
    )


def _close_days(missed: Iterable[_Miss]) -> None:
    """Write the figures of a day that is over; to one that was closed already (a clock that was set back) add them."""
    rows = [(one.num, *one.finished_day) for one in missed if one.finished_day]
    if not rows:
        return
    table = HeartbeatDay._meta.db_table
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ("ok", "failed", "missed"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (num, day, ok, failed, missed) VALUES "
            f"{', '.join(['(%s, %s, %s, %s, %s)'] * len(rows))} ON CONFLICT (num, day) DO UPDATE SET {sums}",
            [value for row in rows for value in row],
        )
