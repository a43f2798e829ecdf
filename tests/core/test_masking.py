"""Masking: every form in which programs write a secret, in one piece or in many, and nothing else."""

import base64
import html
import json
import random
import re
import shlex
import subprocess
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.core.masking import LEAST, MASK, Masker

NASTY = "s3cr$t 'x\" & <y>/ü%+\\end`!"
PEM = "-----BEGIN KEY-----\n" + "\n".join("Zm9v/mFy+" * 7 + str(n) for n in range(6)) + "\n-----END KEY-----\n"


def _base64(value: str, before: bytes = b"", after: bytes = b"") -> str:
    return base64.b64encode(before + value.encode() + after).decode()


#: Name -> what a program would print for a value.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "with line ends of Windows": lambda v: v.replace("\r\n", "\n").replace("\n", "\r\n"),
    "json": json.dumps,
    "json in letters": lambda v: json.dumps(v, ensure_ascii=False),
    "json in json": lambda v: json.dumps(json.dumps({"password": v})),
    "json for pages": lambda v: re.sub(r"[<>&']", lambda m: f"\\u{ord(m[0]):04x}", json.dumps(v)),
    "json with slashes": lambda v: json.dumps(v).replace("/", "\\/"),
    "path": quote,
    "path segment": lambda v: quote(v, safe=""),
    "query": quote_plus,
    "query in small letters": lambda v: re.sub("%..", lambda m: m[0].lower(), quote_plus(v)),
    "address with an odd choice": lambda v: quote(v, safe="!$'()*,;:@/?"),
    "shell": shlex.quote,
    "shell, quotes behind backslashes": lambda v: "'" + v.replace("'", "'\\''") + "'",
    "shell in double quotes": lambda v: '"' + re.sub(r'([\\"$`!])', r"\\\1", v) + '"',
    "html": html.escape,
    "base64": _base64,
    "base64 behind a letter": lambda v: _base64(v, b"x", b"yz"),
    "base64 behind a name": lambda v: _base64(v, b"user:"),
    "base64 for addresses": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64 in lines": lambda v: base64.encodebytes(b"user: " + v.encode()).decode(),
    "base64 in json": lambda v: json.dumps(base64.encodebytes(v.encode()).decode()),
    "hexadecimal": lambda v: v.encode().hex(),
    "hexadecimal in capitals": lambda v: v.encode().hex().upper(),
}
secrets = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=LEAST, max_size=60).filter(
    lambda text: len(text.strip()) >= LEAST
)


def shown(masker: Masker, text: str, sizes: list[int]) -> str:
    """Return what a stream gives out that arrives in pieces of these sizes."""
    data, stream, found, at = text.encode(), masker.stream(), b"", 0
    for size in sizes:
        found += stream.feed(data[at : at + size])
        at += size
    return (found + stream.feed(data[at:]) + stream.flush()).decode()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=secrets)
@example(value=NASTY)
@example(value=PEM)
@example(value="~~~~????>>>>")
def test_value_is_masked_in_every_form(form: str, value: str) -> None:
    written = FORMS[form](value)
    masked = Masker([value]).text(f"<< {written} >>")
    assert MASK in masked
    # What may stay: quotes and braces around it, and of base64 the ends that hold something else too.
    rest = masked.replace(MASK, "")
    assert len(rest) <= len("<<  >>") + (60 if form == "json in json" else 16), masked
    assert Masker([value]).text(masked) == masked


@settings(max_examples=80, deadline=None)
@given(
    value=secrets,
    form=st.sampled_from(sorted(FORMS)),
    before=st.text(st.characters(codec="utf-8"), max_size=30),
    after=st.text(st.characters(codec="utf-8"), max_size=30),
    sizes=st.lists(st.integers(1, 9), max_size=60),
)
def test_pieces_of_any_size_give_the_same_as_the_whole(
    value: str, form: str, before: str, after: str, sizes: list[int]
) -> None:
    text = before + FORMS[form](value) + after
    masker = Masker([value])
    assert shown(masker, text, sizes) == masker.text(text)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.text("ab", min_size=4, max_size=8), min_size=1, max_size=4), text=st.text("abc", max_size=60),
       sizes=st.lists(st.integers(1, 5), max_size=40))  # fmt: skip
def test_secrets_that_overlap_leave_nothing_in_the_whole_or_in_pieces(
    values: list[str], text: str, sizes: list[int]
) -> None:
    masker = Masker(values)
    covered = {at + n for v in values for at in range(len(text)) if text.startswith(v, at) for n in range(len(v))}
    expected = re.sub("\0+", MASK, "".join("\0" if at in covered else one for at, one in enumerate(text)))
    # Two secrets side by side are two masks.
    assert masker.text(text).replace(MASK * 2, MASK).replace(MASK * 2, MASK) == expected.replace(MASK * 2, MASK)
    assert shown(masker, text, sizes) == masker.text(text)


def test_shells_own_way_of_quoting_is_known() -> None:
    for value in (NASTY, "two\nlines\tand 'more'", "plain-value_1"):
        printed = subprocess.run(
            ["bash", "-c", 'printf "%q" "$1"', "-", value], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        ).stdout
        assert Masker([value]).data(printed) in (b"***", b"$'***'")


def test_lines_of_a_key_are_masked_each_and_its_borders_stay() -> None:
    masker = Masker([PEM])
    out = "\n".join(f"2026-01-01 web-1 | {line}" for line in PEM.splitlines())
    masked = masker.text(out)
    assert masked.count(MASK) == 6
    assert "Zm9v" not in masked
    assert "-----BEGIN KEY-----" in masked


def test_nothing_is_held_back_but_the_beginning_of_a_secret() -> None:
    stream = Masker(["hunter2-hunter2"]).stream()
    assert stream.feed(b"password: ") == b"password: "
    assert stream.feed(b"hunter2-") == b""
    assert stream.feed(b"hunt") == b""
    assert stream.feed(b"ed\n") == b"hunter2-hunted\n"
    assert stream.feed(b"again hunter2-hunter2$ ") == b"again ***$ "
    assert stream.flush() == b""


def test_short_values_are_passed_over_and_counted_and_other_text_stays() -> None:
    masker = Masker(["abc", "", "  x ", "long enough"])
    assert masker.unmasked == 2
    text = "abc abd x longenough " + "".join(random.Random(7).choices("abc xyz/+=", k=5000))
    assert masker.text(text) == text
    assert not Masker([])
    assert Masker([]).text(text) == text
    assert shown(Masker([]), text, [7, 9]) == text


def test_json_values_are_masked_through_and_through() -> None:
    masker = Masker(["hunter2-hunter2"])
    value = {"hunter2-hunter2": ["x", {"a": "is hunter2-hunter2", "b": 5, "c": None}], "d": True}
    assert masker.value(value) == {MASK: ["x", {"a": f"is {MASK}", "b": 5, "c": None}], "d": True}
    assert "hunter2" not in repr(masker) + repr(masker.stream())


def test_a_secret_without_end_in_a_stream_needs_no_memory() -> None:
    stream = Masker(["aaaa"]).stream()
    given_out = sum(len(stream.feed(b"a" * 1000)) for _ in range(50))
    assert given_out == len(MASK)
    assert len(stream._held) < 1000
    assert stream.feed(b"b") == b"b"
