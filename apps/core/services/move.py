"""Move: copy everything from the present database into an empty one of either engine."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, connection

from apps.core.care import databases, rows, schema
from apps.core.care.lock import installation_at_rest
from apps.core.care.refusal import CareRefused
from config.settings.database import database_from_url

Say = Callable[[str], None]


def move_database(*, url: str, say: Say = lambda line: None) -> int:
    """Copy every table into the database at `url`, which must be empty; the present one is left as it is.

    Args:
        url: sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME.

    Returns:
        How many rows were copied.

    Raises:
        CareRefused: Watchkeeper runs, the target is this database, can't be reached or is not empty, or a table came
            over with another number of rows.
    """
    entry = _target(url)
    with installation_at_rest("move-database", say=say):
        keys = schema.applied_migrations("default")
        if not keys:
            raise CareRefused("There is nothing to move: the present database has no tables yet.")
        with databases.default_database(entry):
            _refuse_unsuitable_target()
            schema.migrate_to(keys)
            total = _copy(keys, say)
            schema.migrate_to_newest()
    return total


def _target(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("sqlite", "postgres", "postgresql"):
        raise CareRefused(
            f"{url} is no address of a database; give sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME."
        )
    entry = database_from_url(url, Path(settings.DATA_DIR), testing=False)
    present = databases.current_entry()
    same = all(str(entry.get(name, "")) == str(present.get(name, "")) for name in ("ENGINE", "NAME", "HOST", "PORT"))
    if same:
        raise CareRefused("That is the database that is in use now; give the address of an empty one.")
    if parts.scheme == "sqlite":
        Path(entry["NAME"]).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return copy.deepcopy(entry)


def _refuse_unsuitable_target() -> None:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        first_line = str(error).strip().partition("\n")[0]
        raise CareRefused(f"The new database does not answer ({first_line}); check the address.") from error
    tables = connection.introspection.table_names()
    if tables:
        raise CareRefused(
            f"The new database is not empty: it has {len(tables)} tables ({sorted(tables)[0]}, ...). Give an empty one."
        )


def _copy(keys: list[schema.Key], say: Say) -> int:
    tables = schema.kept_tables_at(keys)
    total = 0
    with databases.frozen_view(databases.SOURCE), databases.loading():
        databases.empty_tables(tables)
        for model in tables:
            expected = rows.count_rows(model, databases.SOURCE)
            rows.RowWriter(model, "default", rows.columns(model)).write(rows.read_rows(model, databases.SOURCE))
            found = rows.count_rows(model, "default")
            if found != expected:
                raise CareRefused(f"{model._meta.db_table} has {found} rows in the new database instead of {expected}.")
            total += found
        databases.reset_counters(tables)
    say(f"Copied {total} rows of {len(tables)} tables; every table has as many as before.")
    return total
