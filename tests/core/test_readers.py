"""Dispatch: every reader comes to the newest fact, and those that a fact does not concern cost nothing."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import leases
from apps.core.events import Subject, emit
from apps.core.events.readers import Reader, dispatch_all
from apps.core.events.sequencer import last_seq, sequence_events
from apps.core.models import Lease, ReaderCursor
from apps.core.principals import system
from apps.core.registries import Registry

pytestmark = pytest.mark.django_db

readers = import_module("apps.core.events.readers")  # the package gives its registry this name


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Let three readers of the test be the only ones, and return what they hear."""
    heard: list[tuple[str, str]] = []
    registry = Registry[Reader]("reader")
    for name, pattern in (("all", "*"), ("alerts", "alert.*"), ("people", "user.*")):
        registry.register(name, Reader(name, (pattern,), lambda fact, name=name: heard.append((name, fact.subject_id))))
    monkeypatch.setattr(readers, "readers", registry)
    for name in registry:
        ReaderCursor.objects.create(name=name, seq=last_seq())
    return heard


def tell(*names: str) -> None:
    """Emit facts and number them."""
    for name in names:
        data = {"title": name, "message": "", "level": "info"}
        emit("system.alert", subject=Subject("test", name), actor=system("test"), data=data)
    sequence_events()


def dispatch_everything() -> None:
    """Dispatch until everybody has caught up."""
    for _ in range(50):
        if not dispatch_all():
            return
    raise AssertionError("it never ends")


def cursors() -> set[int]:
    """Return where the readers stand."""
    return set(ReaderCursor.objects.filter(name__in=["all", "alerts", "people"]).values_list("seq", flat=True))


def test_reader_hears_what_concerns_it_and_all_come_to_the_end(heard: list[tuple[str, str]]) -> None:
    tell("a", "b")
    dispatch_everything()
    assert heard == [("all", "a"), ("all", "b")]
    assert cursors() == {last_seq()}


def test_readers_that_are_not_concerned_share_one_statement(heard: list[tuple[str, str]]) -> None:
    tell("a")
    with CaptureQueriesContext(connection) as captured:
        dispatch_all()
    updates = [one["sql"] for one in captured if one["sql"].startswith("UPDATE") and "core_readercursor" in one["sql"]]
    assert len(updates) == 2, updates  # the two that pass it over together, and the one that reads it


def test_more_facts_than_a_batch_are_passed_in_parts(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "BATCH", 2)
    tell("a", "b", "c", "d", "e")
    dispatch_everything()
    assert [subject for _, subject in heard] == ["a", "b", "c", "d", "e"]
    assert cursors() == {last_seq()}


def test_cursor_that_another_process_moved_is_left_alone(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell("a", "b")
    ahead = last_seq()
    matches = readers.matches

    def meanwhile(name: str, patterns: tuple[str, ...]) -> bool:
        ReaderCursor.objects.filter(name="people").update(seq=ahead + 7)
        return matches(name, patterns)

    monkeypatch.setattr(readers, "matches", meanwhile)
    dispatch_all()
    assert ReaderCursor.objects.get(name="people").seq == ahead + 7


def test_lease_that_is_kept_is_renewed_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(leases.time, "monotonic", lambda: now)
    assert leases.keep("test.kept", seconds=10)
    until = Lease.objects.get(name="test.kept").until
    now = 1004.0
    assert leases.keep("test.kept", seconds=10)
    assert Lease.objects.get(name="test.kept").until == until
    now = 1006.0
    assert leases.keep("test.kept", seconds=10)
    assert Lease.objects.get(name="test.kept").until > until
    leases.release("test.kept")
    assert leases.keep("test.kept", seconds=10, owner="another")
    assert not leases.keep("test.kept", seconds=10)
