"""Restore: put a backup in the place of what is there, whole or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction

from apps.core import crypto
from apps.core.care import databases, rows, schema
from apps.core.care.archive import Manifest, read_parts, verify_archive
from apps.core.care.lock import installation_at_rest
from apps.core.care.refusal import CareRefused
from apps.core.services.backup import create_backup

Say = Callable[[str], None]


def restore_backup(*, file: Path, force: bool = False, say: Say = lambda line: None) -> Manifest:
    """Load a backup of either database engine into the configured database.

    On SQLite a new file is built beside the old one and takes its place at the end; on PostgreSQL it is one
    transaction. So a restore that fails leaves what was there.

    Args:
        force: replace data that is there; it is backed up into `DATA_DIR/backups` first.
        say: told about each step in one sentence.

    Returns:
        What was restored.

    Raises:
        CareRefused: Watchkeeper runs, the file is damaged or newer than this release, the vault key is another one,
            or the database has data and `force` is not given.
    """
    with installation_at_rest("restore", say=say):
        manifest = verify_archive(file)
        say(f"The backup is whole: {manifest.rows} rows of {manifest.created_at[:16].replace('T', ' ')} UTC.")
        schema.tables_at(sorted(manifest.migrations))  # refuses a newer release's tables
        check_key(manifest)
        if schema.holds_data("default"):
            if not force:
                raise CareRefused("The database already holds data; --force replaces it (and backs it up first).")
            saved = _safety_copy()
            say(f"What was there is kept as {saved}.")
        if connection.vendor == "sqlite":
            _into_new_file(manifest, file)
        else:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    # Checked at once while the tables are made: a table with checks pending can't be altered.
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                schema.drop_tables("default")
                _fill(manifest, file)
            _finish()
        say("Every table has as many rows as the backup.")
        return manifest


def check_key(manifest: Manifest) -> None:
    """See that the configured vault key opens the backup.

    Raises:
        CareRefused: it does not; the sentence names the key that would.
    """
    if not manifest.canary:
        return
    try:
        crypto.check_canary(manifest.canary)
    except crypto.WrongKey as error:
        raise CareRefused(
            f"The backup was sealed with the vault key {error.key_id}, the configured one is {', '.join(error.have)}. "
            f"Put the right key into {Path(settings.DATA_DIR) / 'keys' / 'vault_key'} or into VAULT_KEY; "
            "without it no secret of the backup can be read."
        ) from error
    except crypto.CryptoError as error:
        raise CareRefused(str(error)) from error


def _safety_copy() -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = Path(settings.DATA_DIR) / "backups" / f"before-restore-{stamp}.backup"
    create_backup(file=file)
    return file


def _into_new_file(manifest: Manifest, file: Path) -> None:
    entry = databases.current_entry()
    path = Path(str(entry["NAME"]))
    new = path.with_name(f"{path.name}.restoring")
    _remove(new)
    try:
        with databases.default_database({**entry, "NAME": str(new)}):
            _fill(manifest, file)
            _finish()
            _fold_log()
    except BaseException:
        _remove(new)
        raise
    connection.close()
    # The old log belongs to the old file; with the new one it would be taken for its own.
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    new.replace(path)
    _remove(new)


def _fold_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchone()


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal", "-next", "-now"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _fill(manifest: Manifest, file: Path) -> None:
    keys = sorted(manifest.migrations)
    schema.migrate_to(keys)
    tables = schema.kept_tables_at(keys)
    models_by_table = {model._meta.db_table: model for model in tables}
    with databases.loading():
        databases.empty_tables(tables)
        for part, lines in read_parts(file, manifest):
            model = models_by_table.get(part.table)
            if model is None:
                raise CareRefused(f"The backup holds the table {part.table}, which its own version does not know.")
            _load(model, part.columns, lines)
            if (found := rows.count_rows(model, "default")) != part.rows:
                raise CareRefused(f"{part.table} has {found} rows after loading instead of {part.rows}.")
        databases.reset_counters(tables)


def _load(model: type[models.Model], names: list[str], lines: Any) -> None:
    by_column = {field.column: field for field in rows.columns(model)}
    unknown = [name for name in names if name not in by_column]
    if unknown:
        raise CareRefused(
            f"The backup's table {model._meta.db_table} has a column {unknown[0]}, unknown to its own version."
        )
    fields = [by_column[name] for name in names]
    decode = rows.row_decoder(fields)
    rows.RowWriter(model, "default", fields).write(decode(line) for line in lines)


def _finish() -> None:
    """Bring what an older release had backed up to this one."""
    schema.migrate_to_newest()
