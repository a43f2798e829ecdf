"""Many new rows of one table in one statement, past the ORM, whose cost per row is a multiple of the database's."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models

#: Values a statement; SQLite takes no more than 32,766.
_VALUES_MOST = 10_000


def insert_rows(model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows in their order, in the caller's transaction; no defaults, no signals.

    Args:
        columns: names of columns, of which every one without a default in the database is there.
        rows: one value per column: text (JSON as text too), number, boolean, UUID, aware time or None.
    """
    if connection.vendor == "postgresql":
        if rows:
            _copy(model._meta.db_table, columns, rows)
        return
    step = max(1, _VALUES_MOST // len(columns))
    time_of = cache(connection.ops.adapt_datetimefield_value)  # rows share their times
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        values = [
            value.hex if value.__class__ is UUID else time_of(value) if value.__class__ is datetime else value
            for row in part
            for value in row
        ]
        with connection.cursor() as cursor:
            cursor.execute(_insert(model._meta.db_table, columns, len(part)), values)


@lru_cache(64)
def _insert(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"


def _copy(table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    # Half of what an INSERT of the same rows costs the server.
    lines = "".join(["\t".join(map(_copied, row)) + "\n" for row in rows])
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        copy.write(lines)


def _copied(value: Any) -> str:
    """Return a value as a line of COPY has it. Source: PostgreSQL, COPY, "Text Format"."""
    if value is None:
        return r"\N"
    text = value if isinstance(value, str) else str(value)
    if "\\" in text:
        text = text.replace("\\", r"\\")
    if text.isprintable():  # no tab and no line break
        return text
    return text.replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")


def storable(text: str) -> str:
    """Return the text without what no database takes: NUL and halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
