"""Fixtures of all tests."""

import pytest

from apps.core import runtime_settings
from apps.core.api.throttling import windows


@pytest.fixture(autouse=True)
def _fresh_process_state() -> None:
    """Forget what a process keeps in memory between requests."""
    windows.clear()
    runtime_settings.forget()
