"""What does not count for a job's uptime: runs that did not come during maintenance, or while nobody could report."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay
from apps.monitors.services.beat import Beat
from apps.monitors.services.maintenance import is_any_open, is_under_maintenance


def excuse_missed(missed: Sequence[tuple[Beat, int]], *, at: datetime) -> None:
    """Take runs that were just counted as missed out of the uptime where a maintenance window is open for their job.

    In the transaction that writes the beats, before they are written.

    Args:
        missed: beats and how many runs were counted.
    """
    if not missed or not is_any_open(at):
        return
    links = Heartbeat.tags.through.objects.filter(heartbeat_id__in=[beat.id for beat, _ in missed])
    tags: dict[UUID, list[str]] = {}
    for pk, name in links.values_list("heartbeat_id", "tag__name"):
        tags.setdefault(pk, []).append(name)
    excused = []
    for beat, count in missed:
        if is_under_maintenance("heartbeat", beat.id, tags.get(beat.id, ()), at):
            beat.day_missed -= count
            excused.append((beat.num, count))
    count_days("maintenance", at, excused)


def count_days(column: str, at: datetime, counts: Sequence[tuple[int, int]]) -> None:
    """Add to a column of the day's figures: (num, count) each."""
    if not counts:
        return
    table, day = HeartbeatDay._meta.db_table, int(at.timestamp() // 86400)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (num, day, ok, failed, missed, {column}) VALUES (%s, %s, 0, 0, 0, %s) "
            f"ON CONFLICT (num, day) DO UPDATE SET {column} = {table}.{column} + excluded.{column}",
            [(num, day, count) for num, count in counts],
        )


def fault_of(beat: Beat, error: Exception) -> str:
    """Return the sentence of a job whose times can't be worked out."""
    return f"Its schedule can't be worked out ({beat.schedule.words()}): {error or type(error).__name__}."[:300]
