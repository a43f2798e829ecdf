"""How long the logs of heartbeats are kept, and how they go."""

import time

from django.db import connection, models, transaction

from apps.core import runtime_settings
from apps.monitors.models.heartbeats import HeartbeatDay, Ping, Run
from apps.monitors.states.heartbeats import RUNNING


def prune_pings(setting: str, limit: int) -> int:
    """Delete at most `limit` pings past their keep time, oldest first; returns how many."""
    return _delete_oldest(Ping, "at", _cutoff_ms(setting), limit)


def prune_runs(setting: str, limit: int) -> int:
    """Delete at most `limit` ended runs past their keep time, oldest first; returns how many."""
    return _delete_oldest(Run, "at", _cutoff_ms(setting), limit, f"AND result <> '{RUNNING}'")


def prune_days(setting: str, limit: int) -> int:
    """Delete at most `limit` daily figures past their keep time, oldest first; returns how many."""
    return _delete_oldest(HeartbeatDay, "day", _cutoff_ms(setting) // 86_400_000, limit)


def _cutoff_ms(setting: str) -> int:
    return int((time.time() - runtime_settings.get(setting)) * 1000)


def _delete_oldest(model: type[models.Model], column: str, before: int, limit: int, condition: str = "") -> int:
    # Rows are addressed by their place in the table: the keys have several parts, and the index on time finds them.
    table, place = model._meta.db_table, "ctid" if connection.vendor == "postgresql" else "rowid"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE {place} IN "
            f"(SELECT {place} FROM {table} WHERE {column} < %s {condition} ORDER BY {column} LIMIT %s)",
            [before, limit],
        )
        return cursor.rowcount
