"""What is kept: the database, its schema, its clock, and whether its secrets still open."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from apps.core import crypto
from apps.core.care import schema
from apps.core.care.doctor.findings import Finding, failed, fine, notice
from apps.core.care.vault import left_to_reseal, open_sample
from apps.core.conditions import lasting_condition
from apps.core.leases import last_runs
from apps.core.models import Canary

SKEW_S = 2.0
#: A drill is due every 30 days.
DRILL_LATE = timedelta(days=33)


def check_database() -> Iterator[Finding]:
    """Reach the database and let it check itself."""
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA quick_check(5)")
                problems = [str(row[0]) for row in cursor.fetchall() if row[0] != "ok"]
                cursor.execute("SELECT sqlite_version()")
                version = f"SQLite {cursor.fetchone()[0]}"
            else:
                problems = []
                cursor.execute("SHOW server_version")
                version = f"PostgreSQL {cursor.fetchone()[0]}"
    except DatabaseError as error:
        first_line = str(error).strip().partition("\n")[0]
        yield failed("database", f"The database does not answer ({first_line}); check DATABASE_URL and that it runs.")
        return
    if problems:
        yield failed("database", f"{version} says that its file is damaged ({problems[0]}); restore the newest backup.")
    else:
        whole = " and its file is whole" if connection.vendor == "sqlite" else ""
        yield fine("database", f"{version} answers{whole}.")


def check_migrations() -> Iterator[Finding]:
    """See that the tables are those of this release."""
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    unknown = [key for key in schema.applied_migrations("default") if key not in executor.loader.graph.nodes]
    if unknown:
        yield failed("migrations", f"A newer version migrated the database ({'.'.join(unknown[0])}); run that version.")
    elif waiting:
        yield failed("migrations", f"{len(waiting)} migrations wait; run `make run` or `manage.py prepare`.")
    else:
        yield fine("migrations", "The tables are those of this version.")


def check_clock() -> Iterator[Finding]:
    """Compare the database's clock with this process's: leases and deadlines rest on both."""
    if connection.vendor == "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        there: datetime = cursor.fetchone()[0]
    skew = abs((datetime.now(UTC) - there).total_seconds())
    if skew > SKEW_S:
        yield failed("clock", f"The database's clock and this machine's differ by {skew:.1f} s; let both follow NTP.")
    else:
        yield fine("clock", f"The database's clock agrees with this machine's (to {skew * 1000:.0f} ms).")


def check_canary() -> Iterator[Finding]:
    """See that the configured vault key is the one of this data."""
    canary = Canary.objects.first()
    if canary is None:
        yield notice("canary", "The vault key was never tried on this database; the next start does.")
        return
    try:
        crypto.check_canary(canary.token)
    except crypto.CryptoError as error:
        yield failed("canary", str(error))
        return
    yield fine("canary", f"The vault key {crypto.current_key_id()} is the one of this data.")


def check_sealed_values() -> Iterator[Finding]:
    """Open some secrets of every table, chosen at random, and say which wait for the present key."""
    found = open_sample()
    if found.broken:
        yield failed(
            "sealed values",
            f"{len(found.broken)} of {found.opened + len(found.broken)} secrets tried do not open ({found.told()});"
            " put the vault key they name into VAULT_KEYS_OLD, or enter them anew.",
        )
    elif left := left_to_reseal():
        yield notice(
            "sealed values",
            f"{found.opened} secrets were tried, all of them open; {left} still have a former vault key:"
            " run `manage.py vault rekey`.",
        )
    else:
        opened = found.opened
        yield fine(
            "sealed values", f"{opened} secrets were tried, all of them open." if opened else "No secret is kept yet."
        )


def check_drill() -> Iterator[Finding]:
    """Say when the vault's monthly drill was last, and whether it failed."""
    broken = lasting_condition("vault:drill")
    if broken is not None:
        yield failed("vault drill", broken.message)
        return
    last = last_runs("vault:").get("drill")
    if last is None:
        yield notice("vault drill", "No drill yet; the worker makes the first one within an hour of its start.")
    elif timezone.now() - last > DRILL_LATE:
        yield notice("vault drill", f"The last drill was on {last:%Y-%m-%d}; run `manage.py vault drill`.")
    else:
        yield fine("vault drill", f"The last drill, on {last:%Y-%m-%d}, opened all that it tried.")
