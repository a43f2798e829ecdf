"""Fixtures of the status pages."""

from collections.abc import Iterator

import pytest

from apps.monitors.services import maintenance
from apps.statuspage import boards


@pytest.fixture(autouse=True)
def _fresh_boards(tmp_path: object, settings: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a store without pages, and a folder of its own for the copies."""
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    boards.store.forget()
    maintenance.forget()
    # Every question looks at the database: nothing hangs on how fast a test runs.
    monkeypatch.setattr(boards.BoardStore.current, "__kwdefaults__", {"max_age_s": -1.0})
    yield
    boards.store.forget()
    maintenance.forget()
