"""Many rows in one statement, on both databases, for paths where the ORM's cost per row is the bottleneck.

PostgreSQL gets one statement with an array per column (`unnest`), SQLite the driver's `executemany`, which prepares
once and is faster there than any long statement. Values are what a model's columns hold: text, numbers, UUIDs, aware
times.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models

Row = Sequence[Any]


def insert_rows(model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert `rows`, each with one value per column name."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_insert_unnest(model, columns), _by_column(rows))
        else:
            cursor.executemany(_insert_values(model, columns), list(map(_adapted, rows)))


def update_rows(
    model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Update by key: each row has one value per column of `columns`, then one per column of `keys`."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_update_unnest(model, columns, keys), _by_column(rows))
        else:
            cursor.executemany(_update_values(model, columns, keys), list(map(_adapted, rows)))


def delete_rows(model: type[models.Model], keys: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Delete by key."""
    if not rows:
        return
    condition = " AND ".join(f"{key} = %s" for key in keys)
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {model._meta.db_table} WHERE {condition}", [_adapted(row) for row in rows])


def to_database(value: Any) -> Any:
    """Return a value as the driver takes it."""
    return value if connection.vendor == "postgresql" else _adapted_value(value)


def time_from_database(value: datetime | None) -> datetime | None:
    """Return a time column's value as an aware time."""
    # SQLite gives UTC without its zone.
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def uuid_from_database(value: Any) -> UUID:
    """Return a UUID column's value as a UUID."""
    return value if isinstance(value, UUID) else UUID(value)


_PLAIN = frozenset({int, str, float, bool, type(None)})


def _adapted(row: Row) -> list[Any]:
    return [value if value.__class__ in _PLAIN else _adapted_value(value) for value in row]


def _adapted_value(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is not UTC:
            value = value.astimezone(UTC)
        return value.isoformat(" ")[:-6]
    return value.hex if isinstance(value, UUID) else value


def _by_column(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _arrays(model: type[models.Model], columns: tuple[str, ...]) -> str:
    types = [_field(model, column).db_type(connection) for column in columns]
    return ", ".join(f"%s::{kind}[]" for kind in types)


def _field(model: type[models.Model], column: str) -> Any:
    return next(field for field in model._meta.concrete_fields if getattr(field, "column", None) == column)


@lru_cache(64)
def _insert_unnest(model: type[models.Model], columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT * FROM unnest({_arrays(model, columns)})"


@lru_cache(64)
def _insert_values(model: type[models.Model], columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"


@lru_cache(64)
def _update_unnest(model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...]) -> str:
    both = (*columns, *keys)
    return (
        f"UPDATE {model._meta.db_table} AS t SET {', '.join(f'{name} = v.{name}' for name in columns)} "
        f"FROM unnest({_arrays(model, both)}) AS v({', '.join(both)}) "
        f"WHERE {' AND '.join(f't.{name} = v.{name}' for name in keys)}"
    )


@lru_cache(64)
def _update_values(model: type[models.Model], columns: tuple[str, ...], keys: tuple[str, ...]) -> str:
    return (
        f"UPDATE {model._meta.db_table} SET {', '.join(f'{name} = %s' for name in columns)} "
        f"WHERE {' AND '.join(f'{name} = %s' for name in keys)}"
    )
