"""Targets of the type group: its members, which tests of its own make."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VALUES: dict[str, Any] = {"options": {"members": "{member}"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    yield {}
