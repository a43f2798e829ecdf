"""The generated document of events."""

import io
from pathlib import Path

from django.core.management import call_command

from apps.core.events.catalogue import catalogue
from apps.core.management.commands.events_doc import type_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def generated() -> str:
    """Return what the command prints."""
    out = io.StringIO()
    call_command("events_doc", stdout=out)
    return out.getvalue()


def test_document_of_events_is_fresh() -> None:
    assert DOCUMENT.read_text() == generated(), "run `manage.py events_doc > docs/events.md`"


def test_document_of_events_names_every_event() -> None:
    text = generated()
    assert [name for name in catalogue if f"### `{name}`" not in text] == []


def test_type_of_a_field_is_said_in_words() -> None:
    assert type_of({"type": ["string", "null"], "format": "uuid"}) == "uuid or null"
    assert type_of({"type": "array", "items": {"type": "string"}}) == "list of strings"
    assert type_of({}) == "any"
