"""Fixtures of all tests."""

import time

import pytest

from apps.core import runtime_settings
from apps.core.api.throttling import WINDOW_S, windows


@pytest.fixture(autouse=True)
def _fresh_process_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a process keeps in memory between requests."""
    windows.clear()
    # A minute that ends in the middle of a test would begin its count anew.
    begun = time.time() // WINDOW_S * WINDOW_S + 1
    monkeypatch.setattr(windows, "clock", lambda: begun)
    runtime_settings.forget()
