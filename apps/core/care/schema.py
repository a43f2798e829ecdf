"""The tables as the database has them now, whatever the code would make of them."""

import functools
from collections.abc import Iterable

from django.db import connections, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from apps.core.care.refusal import CareRefused

#: Rows that mean nothing in another place or at another time: who holds what just now, and browsers' sessions, whose
#: keys are credentials and have no business in a backup.
EPHEMERAL = {"core_lease", "django_session"}
MIGRATIONS = "django_migrations"

Key = tuple[str, str]


def applied_migrations(alias: str) -> list[Key]:
    """Return the (app, name) of every migration applied to the database, sorted; empty for a fresh one."""
    return sorted(by_present_names(MigrationLoader(connections[alias]).applied_migrations))


def by_present_names(keys: Iterable[Key]) -> set[Key]:
    """Return the migrations with those that one of this release has replaced by that one."""
    names = set(keys)
    for key, migration in MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items():
        former = set(migration.replaces)
        if former and (key in names or former <= names):
            names = names - former | {key}
    return names


@functools.lru_cache(maxsize=4)
def _models_at(keys: tuple[Key, ...]) -> list[type[models.Model]]:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    unknown = [".".join(key) for key in keys if key not in loader.graph.nodes]
    if unknown:
        raise CareRefused(
            f"The data belongs to a newer Watchkeeper than this one (it knows {unknown[0]}); use that version."
        )
    found = loader.project_state(list(keys)).apps.get_models(include_auto_created=True)
    return sorted(
        (model for model in found if model._meta.managed and not model._meta.proxy), key=lambda one: one._meta.db_table
    )


def tables_at(keys: Iterable[Key]) -> list[type[models.Model]]:
    """Return the models of every table that exists once these migrations are applied, by name of table.

    Raises:
        CareRefused: a migration is not known here: the data is a newer version's.
    """
    return _models_at(tuple(sorted(by_present_names(keys))))


def kept_tables_at(keys: Iterable[Key]) -> list[type[models.Model]]:
    """Return the tables that a backup or a move takes along."""
    return [model for model in tables_at(keys) if model._meta.db_table not in EPHEMERAL]


def migrate_to(keys: Iterable[Key]) -> None:
    """Bring the (empty) default database to exactly these migrations."""
    wanted = by_present_names(keys)
    executor = MigrationExecutor(connections["default"])
    graph = executor.loader.graph
    known = {key for key in wanted if key in graph.nodes}
    leaves = [
        key
        for key in sorted(known)
        if not any(child.key in known and child.key[0] == key[0] for child in graph.node_map[key].children)
    ]
    executor.migrate(leaves)


def migrate_to_newest() -> bool:
    """Bring the default database to this release; return whether there was anything to do."""
    executor = MigrationExecutor(connections["default"])
    targets = executor.loader.graph.leaf_nodes()
    if not executor.migration_plan(targets):
        return False
    executor.migrate(targets)
    return True


def holds_data(alias: str) -> bool:
    """Return whether somebody already works with the database: it has users."""
    connection = connections[alias]
    if "accounts_user" not in connection.introspection.table_names():
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM accounts_user LIMIT 1")
        return cursor.fetchone() is not None


def drop_tables(alias: str) -> None:
    """Drop every table of ours, so that the database is as on the first day; tables of others stay."""
    connection = connections[alias]
    there = set(connection.introspection.table_names())
    ours = {model._meta.db_table for model in tables_at(applied_migrations(alias))} | {MIGRATIONS}
    with connection.cursor() as cursor:
        for table in sorted(there & ours):
            cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(table)} CASCADE")
