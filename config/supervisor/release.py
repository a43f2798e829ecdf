"""Which version of the product a `DATA_DIR` belongs to, and the backup before it is taken further."""

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.supervisor.refusal import StartRefused

KEPT_BACKUPS = 5


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a checkout, or the run that last used a folder, consists of."""

    version: str
    migrations: dict[str, str]
    """The last migration of each app."""
    fingerprint: str
    """Changes with anything that would give `prepare` work to do."""


def of_checkout(base_dir: Path, *, version: str, also: Iterable[str] = ()) -> Release:
    """Return the release that the source tree is; `also` is what else must make `prepare` run first."""
    digest = hashlib.sha256(version.encode())
    last: dict[str, str] = {}
    for file in sorted(base_dir.glob("apps/*/migrations/[0-9]*.py")):
        last[file.parent.parent.name] = max(last.get(file.parent.parent.name, ""), file.stem)
    # All code, not migrations alone: roles and other first rows come from it too. Four hundred files take 20 ms.
    code = [*base_dir.glob("apps/**/*.py"), *base_dir.glob("config/**/*.py"), base_dir / "requirements.txt"]
    for file in sorted(code):
        digest.update(str(file.relative_to(base_dir)).encode())
        with contextlib.suppress(FileNotFoundError):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    for word in also:
        digest.update(hashlib.sha256(word.encode()).digest())
    return Release(version=version, migrations=last, fingerprint=digest.hexdigest())


def database_state(database: Path) -> str:
    """Return what tells whether `prepare` has seen this very database: its applied migrations and its key's canary.

    A database that was restored, replaced or removed since then answers differently, one that can't be read never
    answers the same twice.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=5)) as reader:
            applied = reader.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()
            canary = reader.execute("SELECT token FROM core_canary").fetchall()
    except sqlite3.Error:
        return secrets.token_hex()
    return json.dumps([applied, canary])


def of_folder(data_dir: Path) -> Release | None:
    """Return the release that last used the folder; None for a fresh one."""
    try:
        raw = json.loads((data_dir / "version.json").read_text())
        return Release(
            version=str(raw["version"]), migrations=dict(raw["migrations"]), fingerprint=str(raw["fingerprint"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise StartRefused(
            f"{data_dir / 'version.json'} can't be read; remove it if no newer version ever used the folder."
        ) from None


def record(data_dir: Path, release: Release) -> None:
    """Write down that the folder belongs to the release now."""
    path = data_dir / "version.json"
    new = path.with_suffix(".new")
    content = {"version": release.version, "migrations": release.migrations, "fingerprint": release.fingerprint}
    with new.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def refuse_newer(data_dir: Path, *, folder: Release | None, checkout: Release) -> None:
    """Refuse a folder that a newer release has used: its tables are not known here.

    Raises:
        StartRefused: the folder's version, or a migration of it, is newer.
    """
    if folder is None:
        return
    unknown = [app for app, last in folder.migrations.items() if last[:4] > checkout.migrations.get(app, "")[:4]]
    if _order(folder.version) > _order(checkout.version) or unknown:
        raise StartRefused(
            f"{data_dir} was used by a newer Watchkeeper ({folder.version}, this is {checkout.version});"
            f" start that version, or restore a backup from {data_dir / 'backups'}."
        )


def back_up(database: Path, *, into: Path, label: str) -> Path:
    """Copy a SQLite database as it is, consistent even if something still writes to it.

    Returns:
        The copy, readable by its owner alone. Of earlier copies the newest ones stay.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    target = into / f"before-{label}-{stamp}.sqlite3"
    partial = target.with_suffix(".partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            source.backup(copy)
            # The copy is one file: without its own write-ahead log nothing of it can be left behind.
            copy.execute("PRAGMA journal_mode=DELETE")
        partial.replace(target)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise StartRefused(
            f"{database} can't be backed up before it is migrated ({error}); free some space in {into}."
        ) from None
    for old in sorted(into.glob("before-*.sqlite3"), key=lambda file: file.stat().st_mtime)[:-KEPT_BACKUPS]:
        old.unlink()
    return target
