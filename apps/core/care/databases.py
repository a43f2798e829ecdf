"""Read one database while writing another, and let the default connection be a different one for a while."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.color import no_style
from django.db import connections, models, transaction

SOURCE = "source"


def _without_pool(entry: dict[str, Any]) -> dict[str, Any]:
    entry = copy.deepcopy(entry)
    # A pool belongs to the name of a connection; one of our own would be found by the next that has the name.
    entry.get("OPTIONS", {}).pop("pool", None)
    return entry


def current_entry() -> dict[str, Any]:
    """Return the configuration of the default database."""
    return _without_pool(connections.settings["default"])


def _put(alias: str, entry: dict[str, Any] | None) -> None:
    if alias in connections.settings:
        old = connections[alias]
        old.close()
        if hasattr(old, "close_pool"):
            old.close_pool()
        del connections[alias]
    if entry is None:
        connections.settings.pop(alias, None)
    else:
        connections.settings[alias] = entry


def _complete(entry: dict[str, Any]) -> dict[str, Any]:
    return dict(connections.configure_settings({"default": _without_pool(entry)})["default"])


@contextmanager
def default_database(entry: dict[str, Any]) -> Iterator[None]:
    """Let the default connection be the database of `entry`; the one before is reachable as `SOURCE` meanwhile.

    Migrations write through the default connection, whatever alias they are given; so the target is made default.
    """
    before = connections.settings["default"]
    _put(SOURCE, _complete(before))
    _put("default", _complete(entry))
    try:
        yield
    finally:
        _put("default", before)
        _put(SOURCE, None)


@contextmanager
def frozen_view(alias: str) -> Iterator[None]:
    """Read the database as it is at this moment, for as long as it takes, while others go on writing."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    # Not atomic(): that begins IMMEDIATE and keeps every writer out. A deferred transaction of the write-ahead log
    # keeps nobody out.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        cursor.execute("SELECT COUNT(*) FROM sqlite_master")  # the first read fixes the view
        cursor.fetchone()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")


@contextmanager
def loading() -> Iterator[None]:
    """Write the default database in one transaction, in any order of tables; references are checked at its end."""
    connection = connections["default"]
    on_sqlite = connection.vendor == "sqlite"
    if on_sqlite:
        connection.disable_constraint_checking()
    try:
        with transaction.atomic():
            if not on_sqlite:
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            yield
            connection.check_constraints()
    finally:
        if on_sqlite:
            connection.enable_constraint_checking()


def empty_tables(tables: list[type[models.Model]]) -> None:
    """Delete what the migrations themselves have put into the default database."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        for model in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")


def reset_counters(tables: list[type[models.Model]]) -> None:
    """Let generated ids go on after the largest that was loaded."""
    connection = connections["default"]
    statements = connection.ops.sequence_reset_sql(no_style(), tables)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
