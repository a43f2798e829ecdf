"""Targets of the type icmp. Whether this machine lets anybody send echoes is not the test's to say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VALUES: dict[str, Any] = {"target": "host.example.org", "options": {"count": 5}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    yield {"forbidden": {"target": "169.254.169.254"}}
