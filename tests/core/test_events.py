"""Events: numbering, reading, failing handlers."""

import threading

import pytest
from django.db import connection, transaction

from apps.core.events import Subject, emit
from apps.core.events.readers import Reader, read_once
from apps.core.events.sequencer import last_seq, sequence_events
from apps.core.models import Event, ReaderCursor, SetAsideFact
from apps.core.principals import system

ALERT = {"title": "t", "message": "m", "level": "info"}


def emit_one(name: str = "x") -> Event:
    return emit("system.alert", subject=Subject("test", name), actor=system("test"), data=ALERT)


@pytest.mark.django_db
def test_facts_sequenced_get_consecutive_numbers_in_order_of_id() -> None:
    made = [emit_one(str(n)) for n in range(3)]
    assert sequence_events() == 3
    start = last_seq() - 2
    assert [Event.objects.get(id=event.id).seq for event in made] == [start, start + 1, start + 2]


@pytest.mark.django_db(transaction=True)
def test_transaction_committing_late_is_still_read_by_a_reader_that_went_on() -> None:
    if connection.vendor == "sqlite":  # one writer at a time: a second transaction can't be open across a commit
        emit_one("early")
        sequence_events()
        emit_one("late")
        sequence_events()
    else:
        opened, committed = threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                emit_one("late")
                opened.set()
                committed.wait(10)
            connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert opened.wait(10)
        emit_one("early")
        sequence_events()
    seen: list[str] = []
    one = Reader("test.late", ("*",), lambda fact: seen.append(fact.subject_id))
    read_once(one)
    if connection.vendor != "sqlite":
        assert seen == ["early"]
        committed.set()
        thread.join(10)
        sequence_events()
        read_once(one)
    assert seen == ["early", "late"]


@pytest.mark.django_db(transaction=True)
def test_fact_failing_three_times_is_set_aside_and_told() -> None:
    emit_one("bad")
    emit_one("good")
    sequence_events()
    seen: list[str] = []

    def handle(fact: Event) -> None:
        if fact.subject_id == "bad":
            raise ValueError("no")
        seen.append(fact.subject_id)

    one = Reader("test.poison", ("system.alert",), handle)
    for _ in range(5):
        read_once(one)
    assert seen == ["good"]
    assert SetAsideFact.objects.get(reader="test.poison").error == "ValueError: no"
    assert Event.objects.filter(name="system.alert", subject_kind="reader", subject_id="test.poison").count() == 1
    assert ReaderCursor.objects.get(name="test.poison").seq == last_seq()


@pytest.mark.django_db(transaction=True)
def test_effects_of_a_failing_handler_are_rolled_back() -> None:
    emit_one("bad")
    sequence_events()

    def handle(fact: Event) -> None:
        emit_one("effect")
        raise ValueError("after the effect")

    read_once(Reader("test.rollback", ("system.alert",), handle))
    assert not Event.objects.filter(subject_id="effect").exists()
