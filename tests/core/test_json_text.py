"""JSON of strangers: what could neither be stored nor named in an answer is refused where it is read."""

import json
from typing import Any

import pytest

from apps.core.json_text import parse_json
from tests.factories.accounts import client_as
from tests.factories.fleet import make_server


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (r'{"a": ["\ud800"]}', "surrogate"),
        (r'{"\uDFff": 1}', "surrogate"),
        (r'["\udc00\ud800"]', "surrogate"),
        ('["\udc80"]', "surrogate"),
        ("[" * 100_000, "nested"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("[" + "7" * 5000 + "]", "too long"),
        ("[1,]", "column"),
    ],
)
def test_json_that_cannot_be_used_is_refused_in_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_json(text)


@pytest.mark.parametrize("text", [r'["\ud83d\ude00"]', r'["\\ud800"]', '["😀", 1, null, {"a": true}]'])
def test_whole_characters_are_read_as_ever(text: str) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        rb'{"command": "true", "env": {"\ud800": "x"}}',
        rb'{"command": "true", "stdin": "\ud800"}',
        b'{"command": ' + b"[" * 100_000,
    ],
)
def test_body_that_cannot_be_used_is_refused_in_words(body: bytes) -> None:
    path = f"/api/v1/commands/{make_server('far').slug}"
    answer: Any = client_as("admin").generic("POST", path, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["detail"].startswith("JSON parse error - ")


@pytest.mark.django_db
def test_half_a_character_in_another_charset_is_refused() -> None:
    body, kind = '{"command": "\ud800"}'.encode("utf-7"), "application/json; charset=utf-7"
    path = f"/api/v1/commands/{make_server('far').slug}"
    answer: Any = client_as("admin").generic("POST", path, body, content_type=kind)
    assert (answer.status_code, "surrogate" in answer.json()["detail"]) == (400, True)


@pytest.mark.django_db
def test_charset_that_is_none_of_texts_is_refused() -> None:
    path = f"/api/v1/commands/{make_server('far').slug}"
    answer: Any = client_as("admin").generic("POST", path, b"{}", content_type="application/json; charset=bz2")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
