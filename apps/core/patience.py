"""A limit of time for reading: a question that would take too long is given up, and something else can be tried."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction

#: SQLite asks after so many steps of its machine whether it shall go on: some fifty thousand times a second.
_STEPS = 2000


class TookTooLong(Exception):
    """The database was stopped before it knew the answer."""


@contextmanager
def read_within(ms: float) -> Iterator[None]:
    """Give up a read of the block that takes longer than so many ms; none is begun where none are left.

    Raises:
        TookTooLong: it was given up; the connection is as before.
    """
    if ms < 1:
        raise TookTooLong
    with _on_postgresql(int(ms)) if connection.vendor == "postgresql" else _on_sqlite(ms):
        yield


@contextmanager
def _on_postgresql(ms: int) -> Iterator[None]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [ms])
            yield
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")  # for what follows in a transaction around this
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == "57014":  # query_canceled
            raise TookTooLong from error
        raise


@contextmanager
def _on_sqlite(ms: float) -> Iterator[None]:
    connection.ensure_connection()
    raw: Any = connection.connection
    end = time.monotonic() + ms / 1000
    raw.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise TookTooLong from error
        raise
    finally:
        raw.set_progress_handler(None, 0)
