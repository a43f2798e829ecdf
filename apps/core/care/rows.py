"""Rows in a form that every database takes: JSON lines, one list of values a row.

A value is written by its Python type and read back by its field, so that SQLite's text and PostgreSQL's uuid, jsonb and
timestamptz meet. Sealed values travel as they are stored: table, column and row id, which are authenticated with them,
stay the same.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections, models
from django.db.models import JSONField, Value

from apps.core.fields import SealedTextField, SealedToken

BATCH = 500
#: SQLite's bound on the parameters of one statement where it was built long ago.
PARAMETERS = 30_000


def columns(model: type[models.Model]) -> list[models.Field]:
    """Return the fields of a table that are columns, in the order in which rows are written."""
    return list(model._meta.local_concrete_fields)


def read_rows(model: type[models.Model], alias: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table as Python values, in the order of `columns`, without holding more than a batch."""
    names = [field.attname for field in columns(model)]
    yield from model._base_manager.using(alias).order_by().values_list(*names).iterator(chunk_size=BATCH)


def count_rows(model: type[models.Model], alias: str) -> int:
    """Return how many rows a table has."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(model._meta.db_table)}")
        return int(cursor.fetchone()[0])


def encode_row(row: Sequence[Any]) -> str:
    """Return a row as one line of JSON."""
    return json.dumps(row, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    raise TypeError(f"{type(value).__name__} has no portable form")


_FROM_PLAIN: dict[str, Callable[[Any], Any]] = {
    "DateTimeField": datetime.fromisoformat,
    "DateField": date.fromisoformat,
    "TimeField": time.fromisoformat,
    "UUIDField": UUID,
    "DecimalField": Decimal,
    "DurationField": lambda number: timedelta(microseconds=number),
    "BinaryField": base64.b64decode,
}


def _reader_of(field: models.Field) -> Callable[[Any], Any]:
    if isinstance(field, SealedTextField):
        return lambda text: SealedToken(text) if text else text
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return _FROM_PLAIN.get(field.get_internal_type(), lambda value: value)


def row_decoder(fields: Sequence[models.Field]) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what turns a row of JSON back into Python values."""
    readers = [_reader_of(field) for field in fields]

    def decode(row: Sequence[Any]) -> list[Any]:
        return [None if value is None else read(value) for read, value in zip(readers, row, strict=True)]

    return decode


class RowWriter:
    """Inserts rows into one table of a database, many at a time, past every model's `save`."""

    def __init__(self, model: type[models.Model], alias: str, fields: Sequence[models.Field]) -> None:
        self._connection = connections[alias]
        self._fields = fields
        quote = self._connection.ops.quote_name
        names = ", ".join(quote(str(field.column)) for field in fields)
        self._head = f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES "
        self._row = f"({', '.join(['%s'] * len(fields))})"
        self._batch = max(1, min(BATCH, PARAMETERS // max(1, len(fields))))

    def write(self, rows: Iterable[Sequence[Any]]) -> int:
        """Insert the rows.

        Returns:
            How many there were.
        """
        total, batch = 0, []
        for row in rows:
            batch.append(row)
            if len(batch) == self._batch:
                self._insert(batch)
                total, batch = total + len(batch), []
        if batch:
            self._insert(batch)
        return total + len(batch)

    def _insert(self, batch: Sequence[Sequence[Any]]) -> None:
        parameters = [
            self._stored(field, value) for row in batch for field, value in zip(self._fields, row, strict=True)
        ]
        with self._connection.cursor() as cursor:
            cursor.execute(self._head + ", ".join([self._row] * len(batch)), parameters)

    def _stored(self, field: models.Field, value: Any) -> Any:
        if value is None and isinstance(field, JSONField) and not field.null:
            value = Value(None, JSONField())  # JSON's null, which reads as None too
        return field.get_db_prep_save(value, self._connection)
