"""Every declared event has a schema that is one, is emitted somewhere, and a test names it."""

import re
from pathlib import Path

import jsonschema

from apps.core.events.catalogue import FACT, LIVE, catalogue

ROOT = Path(__file__).resolve().parents[2]
#: Declared because their names are part of the agreed set; emitted later.
NOT_EMITTED_YET: set[str] = set()


def _texts(folder: str) -> str:
    return "\n".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))


def named_in(name: str, text: str) -> bool:
    """Return whether an event is named in quotes in the text, by itself or by its family with an f-string."""
    return re.search(rf"""["']{re.escape(name)}["']""", text) is not None


def test_every_event_has_a_valid_schema_and_a_doc() -> None:
    for name, declaration in catalogue.items():
        jsonschema.Draft202012Validator.check_schema(declaration.schema())
        assert declaration.doc.endswith("."), name
        assert declaration.kind in (FACT, LIVE)


def test_every_event_is_named_by_a_test() -> None:
    text = _texts("tests")
    missing = [name for name in catalogue if not named_in(name, text) and name not in NOT_EMITTED_YET]
    assert not missing, missing


def test_rule_bites_on_an_event_that_nothing_names() -> None:
    assert not named_in("nothing.happened" + "_ever", _texts("tests"))
    assert named_in("alert.opened", _texts("tests"))
