"""Many rows read or changed in one statement, where the ORM's cost per row is the bottleneck; for new ones `core.rows`.

PostgreSQL gets all rows as one JSON text, which the driver need not convert value by value. SQLite gets
all rows as parameters of one statement and gives them as one JSON text: its driver lets other threads run at every row,
and a busy event loop gives the interpreter back late, each time. Values are what a model's columns hold: text, numbers,
UUIDs, aware times.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models

Row = Sequence[Any]


def update_rows(
    model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Update by key: each row has one value per column of `columns`, then one per column of `keys`."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_update_recordset(model, columns, keys), [_as_json((*columns, *keys), rows)])
        else:
            cursor.execute(_update_values(model, columns, keys, len(rows)), _flat(rows))


def delete_rows(model: type[models.Model], keys: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Delete by key."""
    if not rows:
        return
    condition = " AND ".join(f"{key} = %s" for key in keys)
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {model._meta.db_table} WHERE {condition}", [_adapted(row) for row in rows])


def select(columns: Sequence[str], rest: str, *, ordered_and_locked: str = "") -> str:
    """Return the query whose answer `fetch` reads; `ordered_and_locked` is left out where only one can write."""
    if connection.vendor == "postgresql":
        return f"SELECT {', '.join(columns)} {rest} {ordered_and_locked}"
    return f"SELECT json_group_array(json_array({', '.join(columns)})) {rest}"


def fetch(query: str, parameters: Sequence[Any]) -> list[Row]:
    """Return the rows of a `select`; on SQLite booleans are 0 and 1, and their order is anybody's."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        if connection.vendor == "postgresql":
            return cursor.fetchall()
        rows: list[Row] = json.loads(cursor.fetchone()[0])
        return rows


def all_to_database(values: Row) -> list[Any]:
    """Return values as the driver takes them."""
    return list(values) if connection.vendor == "postgresql" else _adapted(values)


def to_database(value: Any) -> Any:
    """Return one value as the driver takes it."""
    return all_to_database((value,))[0]


def time_expression(column: str) -> str:
    """Return the SQL that reads a time column as `time_from_database` takes it, past the driver's slow converters."""
    return f"{column}::text" if connection.vendor == "postgresql" else f"{column} || '+00:00'"


def time_from_database(value: str | None) -> datetime | None:
    """Return the value of a `time_expression` as an aware time."""
    return None if value is None else datetime.fromisoformat(value)


def _time_text(value: datetime) -> str:
    # As Django writes it. isoformat() asks for the zone each time; most times of a batch share their second.
    fraction = f".{value.microsecond:06d}" if value.microsecond else ""
    return _second_text(int(value.timestamp())) + fraction


@lru_cache(4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(" ")[:19]


def _uuid_text(value: UUID) -> str:
    return value.hex


_ADAPTERS: dict[type, Callable[[Any], str]] = {datetime: _time_text, UUID: _uuid_text}


def _adapted(row: Row, adapter_of: Any = _ADAPTERS.get) -> list[Any]:
    return [adapter(value) if (adapter := adapter_of(value.__class__)) else value for value in row]


def _as_json(columns: tuple[str, ...], rows: Sequence[Row]) -> str:
    return json.dumps([dict(zip(columns, _adapted(row), strict=True)) for row in rows])


def _record(model: type[models.Model], columns: tuple[str, ...]) -> str:
    kinds = ", ".join(f"{column} {_field(model, column).db_type(connection)}" for column in columns)
    return f"json_to_recordset(%s::json) AS v({kinds})"


def _field(model: type[models.Model], column: str) -> Any:
    return next(field for field in model._meta.concrete_fields if getattr(field, "column", None) == column)


@lru_cache(64)
def _update_recordset(model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...]) -> str:
    return (
        f"UPDATE {model._meta.db_table} AS t SET {', '.join(f'{name} = v.{name}' for name in columns)} "
        f"FROM {_record(model, (*columns, *keys))} "
        f"WHERE {' AND '.join(f't.{name} = v.{name}' for name in keys)}"
    )


@lru_cache(2048)
def _update_values(model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...], count: int) -> str:
    table, first_key = model._meta.db_table, len(columns) + 1
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = v.column{n}' for n, name in enumerate(columns, 1))} "
        f"FROM (VALUES {_marks(len(columns) + len(keys), count)}) AS v "
        f"WHERE {' AND '.join(f'{table}.{name} = v.column{n}' for n, name in enumerate(keys, first_key))}"
    )


def _marks(columns: int, rows: int) -> str:
    row = f"({', '.join(['%s'] * columns)})"
    return ", ".join([row] * rows)


def _flat(rows: Sequence[Row]) -> list[Any]:
    return _adapted([value for row in rows for value in row])
