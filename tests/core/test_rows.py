"""Rows past the ORM: what is read is what was given, on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from apps.core import context
from apps.core.events import Emission, Subject, emit, emit_many
from apps.core.models import Event
from apps.core.principals import system

pytestmark = pytest.mark.django_db

NASTY = ["\\N", "\\.", "a\tb\nc\r\nd\\te\\", "'; --\"", "ü ☃ \u2028 \x07 {x} %s $1", "", " "]
FIELDS = [field.attname for field in Event._meta.concrete_fields if field.attname not in ("id", "uid", "seq")]


def fields_of(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in FIELDS}


def test_facts_written_together_are_those_written_one_by_one() -> None:
    context.enter(context.RequestContext("req-1", "192.0.2.7", "curl\t\\8"))
    zone = timezone(timedelta(hours=5, minutes=30))
    given: list[dict[str, Any]] = [
        {
            "subject": Subject("test\\", text, text),
            "actor": system("test"),
            "data": {"title": text, "message": f"{text}!", "level": "warning"},
            "level": "warning",
            "tags": [text, "b", "a"],
            "before": {"name": text} if number % 2 else None,
            "note": text,
            "owner_id": "01a205f1-1acf-7360-aa6b-7081416e3908" if number == 1 else None,
            "at": datetime(2026, 3, 29, 1, 2, 3, number, tzinfo=UTC if number % 2 else zone),
        }
        for number, text in enumerate(NASTY)
    ]
    alone = [emit("system.alert", **one) for one in given]
    assert emit_many(Emission("system.alert", **one) for one in given) == len(NASTY)
    context.enter(context.RequestContext())
    rows = list(Event.objects.order_by("id"))
    assert len(rows) == 2 * len(NASTY)
    assert [fields_of(row) for row in rows[len(NASTY) :]] == [fields_of(row) for row in rows[: len(NASTY)]]
    assert [fields_of(row) for row in rows[: len(NASTY)]] == [fields_of(row) for row in alone]
    assert len({row.uid for row in rows}) == len(rows)


def test_more_rows_than_one_statement_takes_keep_their_order() -> None:
    data = {"title": "t", "message": "m", "level": "info"}
    count = 1_600
    emit_many(
        Emission("system.alert", subject=Subject("test", str(n)), actor=system("test"), data=data) for n in range(count)
    )
    assert list(Event.objects.order_by("id").values_list("subject_id", flat=True)) == [str(n) for n in range(count)]
    assert emit_many([]) == 0
