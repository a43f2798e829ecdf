"""Back up: all data but the keys in one file, consistent, while everything goes on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from django.db import DatabaseError, connections, models

from apps.core import crypto
from apps.core.care import databases, rows, schema
from apps.core.care.archive import FORMAT, ArchiveWriter, Manifest
from apps.core.care.refusal import CareRefused
from apps.core.fields import sealed_fields
from config.version import VERSION


def create_backup(*, file: Path, alias: str = "default") -> Manifest:
    """Write everything that the database holds into `file`, as it is at one moment.

    Browsers' sessions and leases are left out. Sealed values stay sealed: the file is of no use without the vault key,
    which is not in it.

    Returns:
        What was written.

    Raises:
        CareRefused: there is no data, it is a newer version's, or the file can't be written.
    """
    keys = schema.applied_migrations(alias)
    if not keys:
        raise CareRefused("There is nothing to back up: the database has no tables yet. Start Watchkeeper once first.")
    tables = schema.kept_tables_at(keys)
    file = file.absolute()
    if file.is_dir():
        raise CareRefused(f"{file} is a folder; name a file in it.")
    try:
        writer = ArchiveWriter(file)
    except OSError as error:
        raise CareRefused(f"{file} can't be written ({error.strerror}); choose another place.") from error
    try:
        manifest = _write(writer, alias, keys, tables)
    except OSError as error:
        writer.discard()
        raise CareRefused(
            f"{file} can't be written ({error.strerror}); free some space, or choose another place."
        ) from error
    except DatabaseError as error:
        writer.discard()
        raise CareRefused(
            f"The database can't be read ({str(error).strip()}); `manage.py doctor` says more."
        ) from error
    except BaseException:
        writer.discard()
        raise
    return manifest


def _write(writer: ArchiveWriter, alias: str, keys: list[schema.Key], tables: list[type[models.Model]]) -> Manifest:
    key_ids: set[str] = set()
    with databases.frozen_view(alias):
        at = datetime.now(UTC)
        canary = _canary(tables, alias)
        parts = [
            writer.add_part(
                model._meta.db_table,
                [str(field.column) for field in rows.columns(model)],
                _lines(model, alias, key_ids),
            )
            for model in tables
        ]
    if canary:
        key_ids.add(crypto.sealed_key_id(canary))
    manifest = Manifest(
        format=FORMAT,
        product="watchkeeper",
        version=VERSION,
        created_at=at.isoformat(),
        vendor=connections[alias].vendor,
        migrations=keys,
        parts=parts,
        key_ids=sorted(key_ids),
        canary=canary,
    )
    writer.finish(manifest)
    return manifest


def _lines(model: type[models.Model], alias: str, key_ids: set[str]) -> Iterator[str]:
    fields = rows.columns(model)
    sealed = [fields.index(field) for field in sealed_fields(model)]
    for row in rows.read_rows(model, alias):
        for at in sealed:
            if row[at] and crypto.is_sealed(row[at]):
                key_ids.add(crypto.sealed_key_id(row[at]))
        yield rows.encode_row(row)


def _canary(tables: list[type[models.Model]], alias: str) -> str:
    for model in tables:
        if model._meta.db_table == "core_canary":
            return str(model._base_manager.using(alias).values_list("token", flat=True).first() or "")
    return ""
