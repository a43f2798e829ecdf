"""The file of a backup: one tar.gz of one JSON-lines part a table, and at its end a manifest that vouches for them.

The manifest comes last, so that a file that was cut off has none; it holds the hash of every part, so that a file that
was damaged is noticed before anything is touched.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from apps.core.care.refusal import CareRefused

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table of a backup."""

    table: str
    columns: list[str]
    rows: int
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Return the part's name inside the file."""
        return f"tables/{self.table}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup holds. `key_ids` name the vault keys that open its sealed values; no key is in it."""

    format: int
    product: str
    version: str
    created_at: str
    vendor: str
    migrations: list[tuple[str, str]]
    parts: list[Part]
    key_ids: list[str]
    canary: str = field(repr=False)

    @property
    def rows(self) -> int:
        """Return how many rows the backup holds in all."""
        return sum(part.rows for part in self.parts)


class ArchiveWriter:
    """Writes a backup beside its final name and puts it in place once it is whole; readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._gzip = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=6)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - see finish()

    def add_part(self, table: str, columns: list[str], lines: Iterable[str]) -> Part:
        """Add one table; its lines are spooled on the disk first, because a tar wants to know their size."""
        digest, rows = hashlib.sha256(), 0
        with tempfile.TemporaryFile(dir=self._path.parent) as spool:
            for line in lines:
                data = line.encode() + b"\n"
                digest.update(data)
                spool.write(data)
                rows += 1
            size = spool.tell()
            spool.seek(0)
            part = Part(table=table, columns=columns, rows=rows, bytes=size, sha256=digest.hexdigest())
            self._add(part.name, size, spool)
        return part

    def _add(self, name: str, size: int, content: IO[bytes]) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._tar.addfile(entry, content)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, see that the disk has it all, and give the file its name."""
        content = json.dumps(asdict(manifest), indent=1).encode()
        self._add(MANIFEST, len(content), io.BytesIO(content))
        self._tar.close()
        self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Remove what was written so far."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r|gz") as tar:
            yield tar
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CareRefused(f"{path} is damaged or is no backup ({error}); take another one.") from error
    except OSError as error:
        raise CareRefused(f"{path} can't be read ({error.strerror or error}).") from error


def verify_archive(path: Path) -> Manifest:
    """Read the whole file once and compare every part with the manifest.

    Raises:
        CareRefused: it can't be read, is cut off, damaged, or of a newer format.
    """
    found: dict[str, tuple[int, str]] = {}
    raw: dict[str, Any] | None = None
    with _reading(path) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is None:
                continue
            if entry.name == MANIFEST:
                raw = _parsed(path, content.read())
                continue
            digest = hashlib.sha256()
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
            found[entry.name] = (entry.size, digest.hexdigest())
    if raw is None:
        raise CareRefused(f"{path} was cut off: its end is missing; take another backup.")
    manifest = _manifest(path, raw)
    for part in manifest.parts:
        if found.pop(part.name, None) != (part.bytes, part.sha256):
            raise CareRefused(f"{path} is damaged: {part.table} is not as it was written; take another backup.")
    if found:
        raise CareRefused(f"{path} holds {sorted(found)[0]}, which its manifest does not know; take another backup.")
    return manifest


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(content)
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise CareRefused(f"{path} is damaged: its manifest can't be read; take another backup.")
    return raw


def _manifest(path: Path, raw: dict[str, Any]) -> Manifest:
    if raw.get("product") != "watchkeeper":
        raise CareRefused(f"{path} is no backup of Watchkeeper.")
    if raw.get("format") != FORMAT:
        raise CareRefused(
            f"{path} was written by Watchkeeper {raw.get('version')} in a form unknown here; use that version."
        )
    try:
        migrations = [(str(app), str(name)) for app, name in raw["migrations"]]
        return Manifest(**{**raw, "migrations": migrations, "parts": [Part(**part) for part in raw["parts"]]})
    except (KeyError, TypeError, ValueError) as error:
        raise CareRefused(f"{path} is damaged: its manifest can't be read; take another backup.") from error


def read_parts(path: Path, manifest: Manifest) -> Iterator[tuple[Part, Iterator[list[Any]]]]:
    """Yield each part with its rows; a part's rows must be read before the next part is asked for."""
    parts = {part.name: part for part in manifest.parts}
    with _reading(path) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is not None and entry.name in parts:
                yield parts[entry.name], (json.loads(line) for line in content)
