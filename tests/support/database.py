"""The test database between tests and at the end."""

from functools import cache

from django.apps import apps
from django.db import connection, transaction
from django.db.models.signals import post_migrate

_MADE_ONCE = {"django_content_type", "auth_permission"}  # the same in every test


@cache
def _tables() -> list[str]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(names) - _MADE_ONCE)


def empty_tables() -> None:
    """Delete what a test has committed.

    Django would empty all of a hundred tables and make every permission anew, which takes PostgreSQL half a second.
    Foreign keys are deferred, so that the order does not matter within the transaction.
    """
    quoted = {name: connection.ops.quote_name(name) for name in _tables()}
    asked = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {table})" for name, table in quoted.items()]
    with transaction.atomic(), connection.cursor() as cursor:
        filled: list[str] = []
        for start in range(0, len(asked), 100):  # SQLite takes 500 at once
            cursor.execute(" UNION ALL ".join(asked[start : start + 100]))
            filled += [name for (name,) in cursor.fetchall()]
        for name in filled:
            cursor.execute(f"DELETE FROM {quoted[name]}")
    accounts = apps.get_app_config("accounts")  # the built-in roles come back, as after any migration
    post_migrate.send(
        sender=accounts, app_config=accounts, verbosity=0, interactive=False, using="default", apps=apps, plan=[]
    )


def end_other_connections() -> None:
    """End what threads have left open, so that the database can be removed: an executor's thread lives on."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
