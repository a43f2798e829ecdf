"""How many bytes the tables take and when the disk is full."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.apps import apps
from django.db import connection

from apps.core import disk
from apps.core.models import StoredSetting

_MEASURED = "_storage.measured"  # a row of ours among the settings: first measurement of this growth window
KEEP_S = 60


@dataclass(frozen=True, slots=True)
class Usage:
    """Where the bytes are.

    Args:
        tables: (table, bytes), largest first; bytes are estimated from pages on SQLite without dbstat.
        total: bytes of the database.
        disk_total, disk_free: bytes of the disk under the data folder.
        percent: how full it is, 0..100, of what users may fill.
        full_at: when the disk is full at the growth of the last day; None where nothing grows or it is over a year
        away.
    """

    tables: list[tuple[str, int]]
    total: int
    disk_total: int
    disk_free: int
    percent: float
    full_at: datetime | None


_kept: tuple[float, Usage] | None = None


def usage() -> Usage:
    """Return where the bytes are; measured at most once a minute a process."""
    global _kept
    if _kept and time.monotonic() - _kept[0] < KEEP_S:
        return _kept[1]
    tables = _table_bytes()
    total = _database_bytes()
    space = disk.usage()
    measured = Usage(tables, total, space.total, space.free, space.percent, _full_at(total, space.free))
    _kept = (time.monotonic(), measured)
    return measured


def _table_bytes() -> list[tuple[str, int]]:
    names = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'p')")
            rows = [(name, int(size)) for name, size in cursor.fetchall() if name in names]
        else:
            rows = _sqlite_tables(cursor, names)
    return sorted(rows, key=lambda row: -row[1])


def _sqlite_tables(cursor: object, names: set[str]) -> list[tuple[str, int]]:
    try:
        cursor.execute(  # type: ignore[attr-defined]
            "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat AS s JOIN sqlite_master AS m ON s.name = m.name "
            "WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
        )
        return [(name, int(size)) for name, size in cursor.fetchall() if name in names]  # type: ignore[attr-defined]
    except Exception:  # SQLite was built without dbstat: rows say enough about who is large
        found = []
        for name in names:
            cursor.execute(f'SELECT COALESCE(MAX(rowid), 0) FROM "{name}"')  # type: ignore[attr-defined]
            # A log line's row number is its time: it says nothing about how many there are.
            found.append((name, min(int(cursor.fetchone()[0]) * 200, _database_bytes())))  # type: ignore[attr-defined]
        return found


def _database_bytes() -> int:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    path = Path(str(connection.settings_dict["NAME"]))
    return sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())


def _full_at(total: int, free: int) -> datetime | None:
    now = datetime.now(UTC)
    row = StoredSetting.objects.filter(name=_MEASURED).first()
    if row is None:
        StoredSetting.objects.get_or_create(name=_MEASURED, defaults={"value": {"at": now.isoformat(), "bytes": total}})
        return None
    age = now - datetime.fromisoformat(row.value["at"])
    growth = total - int(row.value["bytes"])
    if age > timedelta(days=2):  # a new window, so that yesterday's burst is forgotten
        StoredSetting.objects.filter(name=_MEASURED).update(value={"at": now.isoformat(), "bytes": total})
    if growth <= 0 or age < timedelta(minutes=10):
        return None
    seconds = free / (growth / age.total_seconds())
    return now + timedelta(seconds=seconds) if seconds < 366 * 86400 else None
