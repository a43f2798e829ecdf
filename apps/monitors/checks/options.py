"""Options of a check type: declared once, and forms, checks, masks and the API's schema follow from that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from apps.core.fields import MASK
from apps.core.net import NetError, check_url
from apps.core.net.policy import Purpose
from apps.core.patterns import compile_pattern
from apps.monitors.checks.targets import parse_address

_EMPTY: dict[str, Any] = {"boolean": False, "texts": (), "endpoints": (), "integer": None}
_LISTS_MOST = 200


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        kind: "text" (a line), "lines", "integer", "boolean", "choice", "texts" (a list), "pattern" (a regular
            expression), "url", "address" (host or host:port), "certificates" and "key" (PEM), "endpoints" (ids).
        default: where nothing is given; None stands for the empty value of the kind.
        choices: (value, how it reads).
        least, most: bounds of an integer; `most` is the length of a text.
        secret: sealed, and shown as "***".
        placeholder: an example in the form's empty box.
        is_rare: few need it; forms fold it away.
        when: the choice among the same options that it belongs to, "auth=basic"; forms show it while that is chosen.
    """

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    default: Any = None
    choices: tuple[tuple[str, str], ...] = ()
    least: int = 0
    most: int = 2000
    required: bool = False
    secret: bool = False
    placeholder: str = ""
    is_rare: bool = False
    when: str = ""

    @property
    def empty(self) -> Any:
        """Return the value that stands for "not given"."""
        return self.default if self.default is not None else _EMPTY.get(self.kind, "")


def complete_options(fields: Iterable[Option], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every option: the stored one, else its default. Names that nobody declared are left out."""
    return {
        one.name: stored[one.name] if stored.get(one.name) is not None else _listed(one.empty)
        for one in fields
    }  # fmt: skip


def clean_options(
    fields: Iterable[Option], given: Any, *, title: str = "This type"
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return every option in its own type, and what is wrong by name: `options.<name>` -> sentence."""
    fields = tuple(fields)
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        return complete_options(fields, {}), {"options": "give an object, name: value"}
    known = {one.name for one in fields}
    offered = ", ".join(sorted(known)) or "none"
    problems = {
        f"options.{name}": f"{title} has no such option; it has {offered}" for name in given if name not in known
    }
    clean: dict[str, Any] = {}
    for one in fields:
        value = given.get(one.name)
        if value is None or (value in ("", []) and not isinstance(value, bool)):
            clean[one.name] = _listed(one.empty)
        elif value == MASK and one.secret:
            problems[f"options.{one.name}"] = f"“{MASK}” stands for a value that is kept; there is none"
        else:
            try:
                clean[one.name] = _clean_value(one, value)
            except ValueError as error:
                problems[f"options.{one.name}"] = str(error)
        if one.required and clean.get(one.name) in ("", None, [], ()) and f"options.{one.name}" not in problems:
            problems[f"options.{one.name}"] = "is required"
    return clean, problems


def split_options(fields: Iterable[Option], clean: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is kept in the open, secrets masked, and the secrets. Defaults are not kept."""
    shown: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    for one in fields:
        value = clean[one.name]
        if value == _listed(one.empty):
            continue
        if one.secret:
            secrets[one.name], value = value, MASK
        shown[one.name] = value
    return shown, secrets


def masked_options(fields: Iterable[Option], clean: Mapping[str, Any]) -> dict[str, Any]:
    """Return complete options as people may see them."""
    secret = {one.name for one in fields if one.secret}
    return {name: MASK if name in secret and value else value for name, value in clean.items()}


def option_schema(one: Option) -> dict[str, Any]:
    """Return an option as OpenAPI describes it."""
    text = f"{one.label}. {one.help}".strip()
    if one.kind == "integer":
        found: dict[str, Any] = {"type": ["integer", "null"], "minimum": one.least, "maximum": one.most}
    elif one.kind == "boolean":
        found = {"type": "boolean"}
    elif one.kind == "choice":
        found = {"type": "string", "enum": [value for value, _ in one.choices]}
    elif one.kind in ("texts", "endpoints"):
        items = {"type": "string", "format": "uuid"} if one.kind == "endpoints" else {"type": "string"}
        found = {"type": "array", "items": items}
    else:
        found = {"type": "string"}
    if one.secret:
        text += f" Sealed; shown as {MASK}, and sending {MASK} keeps it."
    elif one.empty not in ("", (), None):
        found["default"] = one.empty
    return {**found, "description": text}


def pem_certificates(text: str) -> int:
    """Return how many certificates a PEM text holds.

    Raises:
        ValueError: it holds none, or one that can't be read; the sentence says which.
    """
    blocks = text.split("-----BEGIN CERTIFICATE-----")[1:]
    if not blocks:
        raise ValueError("give certificates in PEM form: they begin with -----BEGIN CERTIFICATE-----")
    for position, block in enumerate(blocks, 1):
        try:
            x509.load_pem_x509_certificate(f"-----BEGIN CERTIFICATE-----{block}".encode())
        except ValueError as error:
            raise ValueError(f"certificate {position} of {len(blocks)} can't be read; copy its whole block") from error
    return len(blocks)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _clean_value(one: Option, value: Any) -> Any:
    if one.kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError("give true or false")
        return value
    if one.kind == "integer":
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not one.least <= value <= one.most:
            raise ValueError(f"give a whole number from {one.least} to {one.most}")
        return value
    if one.kind == "choice":
        if value not in [choice for choice, _ in one.choices]:
            raise ValueError(f"must be one of {', '.join(choice for choice, _ in one.choices)}")
        return value
    if one.kind in ("texts", "endpoints"):
        return _clean_list(one, value)
    if not isinstance(value, str):
        raise ValueError("give a text")
    if len(value) > one.most:
        raise ValueError(f"is longer than {one.most} characters")
    if "\x00" in value:
        raise ValueError("contains a null character")
    if one.kind in ("lines", "certificates", "key"):
        return _clean_pem(one, value)
    if any(ord(letter) < 32 for letter in value):
        raise ValueError("give one line without control characters")
    return _clean_line(one, value)


def _clean_line(one: Option, value: str) -> str:
    if one.kind == "pattern":
        compile_pattern(value)
        return value
    try:
        if one.kind == "url":
            check_url(value, Purpose.PROBE)
        elif one.kind == "address":
            parse_address(value, 1)
    except NetError as error:
        raise ValueError(error.message) from error
    return value.strip() if one.kind in ("url", "address") else value


def _clean_list(one: Option, value: Any) -> list[str]:
    words = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str | UUID) for word in words):
        raise ValueError("give a list of texts")
    clean = list(dict.fromkeys(str(word).strip() for word in words if str(word).strip()))
    if len(clean) > _LISTS_MOST:
        raise ValueError(f"give at most {_LISTS_MOST} entries")
    for position, word in enumerate(clean):
        if len(word) > one.most:
            raise ValueError(f"entry {position + 1} is longer than {one.most} characters")
        if one.kind == "endpoints":
            try:
                clean[position] = str(UUID(word))
            except ValueError as error:
                raise ValueError(f"“{word}” is not the id of an endpoint") from error
    return clean


def _clean_pem(one: Option, value: str) -> str:
    if one.kind == "certificates":
        pem_certificates(value)
    elif one.kind == "key":
        try:
            load_pem_private_key(value.encode(), password=None)
        except TypeError as error:
            raise ValueError("is protected by a password; give the key without one") from error
        except Exception as error:  # cryptography has several, by version
            raise ValueError("is not a private key in PEM form") from error
    return value
