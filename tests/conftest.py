"""Fixtures of all tests."""

import time
from collections.abc import Iterator

import pytest
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

from apps.accounts import addresses
from apps.alerts.services import verdicts
from apps.core import runtime_settings, storage
from apps.core.api.throttling import WINDOW_S, windows
from apps.monitors.services import dependencies, maintenance
from tests.support.database import empty_tables, end_other_connections


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Make the database; empty it cheaply behind the tests that commit, and let go of it at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: empty_tables())
        yield
    with django_db_blocker.unblock():
        end_other_connections()


@pytest.fixture(autouse=True)
def _fresh_process_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a process keeps in memory between requests."""
    windows.clear()
    # A minute that ends in the middle of a test would begin its count anew.
    begun = time.time() // WINDOW_S * WINDOW_S + 1
    monkeypatch.setattr(windows, "clock", lambda: begun)
    # What is read again after a second would cost a query wherever that second happens to end.
    for module, name in (
        (runtime_settings, "KEEP_COPY_S"),
        (addresses, "KEEP_COPY_S"),
        (storage, "KEEP_S"),
        (maintenance, "KEEP_COPY_S"),
        (dependencies, "KEEP_COPY_S"),
        (verdicts, "KEEP_COPY_S"),
    ):
        monkeypatch.setattr(module, name, 3600)
    runtime_settings.forget()
    addresses.forget()
    maintenance.forget()
    dependencies.forget()
    verdicts.forget_silences()
