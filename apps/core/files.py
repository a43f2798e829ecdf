"""The file store: what is too large for the database, in `DATA_DIR/files`. Machines that share the database share it.

Names are relative ("commands/<id>.out"). Files are the platform's alone; nothing in them is served without a view that
asks for a permission.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

CHUNK = 256 * 1024


def path_of(name: str) -> Path:
    """Return where a file lies.

    Raises:
        ValueError: the name leads out of the store. A programming error.
    """
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} is no name in the file store")
    return Path(settings.DATA_DIR) / "files" / name


def create(name: str) -> BinaryIO:
    """Return a new, empty file, unbuffered; one of that name is replaced.

    Raises:
        OSError: the disk is full, or the folder can't be written.
    """
    path = path_of(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)


def size_of(name: str) -> int | None:
    """Return a file's bytes; None where there is none."""
    try:
        return path_of(name).stat().st_size
    except FileNotFoundError:
        return None


def read(name: str, *, most: int | None = None) -> Iterator[bytes]:
    """Yield a file in chunks, `most` bytes of it; memory stays flat.

    Raises:
        FileNotFoundError: there is none; raised by the call itself.
    """
    file = path_of(name).open("rb")

    def chunks() -> Iterator[bytes]:
        left = most
        with file:
            while left is None or left > 0:
                data = file.read(CHUNK if left is None else min(CHUNK, left))
                if not data:
                    return
                if left is not None:
                    left -= len(data)
                yield data

    return chunks()


def delete(name: str) -> bool:
    """Remove a file; return whether it was there."""
    with contextlib.suppress(FileNotFoundError):
        path_of(name).unlink()
        return True
    return False
