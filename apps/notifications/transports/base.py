"""What every transport offers, and how its configuration is checked, masked and merged."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from apps.core.errors import Invalid
from apps.core.fields import MASK
from apps.core.net import InvalidTarget, OutboundRefused, Purpose, check_url
from apps.core.registries import Registry

EXCERPT_BYTES = 2000
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a transport's configuration; forms, checks and masks follow from it.

    Args:
        kind: "text", "url", "integer", "choice", "texts" (a list) or "headers" (name -> value, the values secret).
        secret: shown as "***" once stored.
        least, most: bounds of an integer; `most` is the length of a text.
    """

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    secret: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 2000
    help: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Args:
        id: repeats on every repeat of the same message.
        body: the payload as JSON bytes, as it goes to programs.
        title, text, level, url: the same for people.
        thread: what the message is about; mails of one thread stand together, and services that keep alerts know this
            one by it.
        delay_s: seconds since the fact, where that is long.
        subject, kind: what it is about, by name, and of which kind.
        at: when it happened.
    """

    id: str
    event: str
    body: bytes
    title: str
    text: str
    level: str = "info"
    url: str = ""
    thread: str = ""
    delay_s: float = 0.0
    subject: str = ""
    kind: str = ""
    tags: tuple[str, ...] = ()
    at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Return whether it says that something is good again."""
        return self.event.endswith((".resolved", ".recovery", ".recovered", ".online"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the other side said.

    Args:
        status_code: of HTTP or SMTP; None where it did not come to an answer.
        response: excerpt of the answer, at most 2 kB.
        error: one sentence where it failed.
        retry_after_s: what the other side asked for.
        gone: it will never work, however often it is tried (HTTP 410, a token that is not valid any more).
        request: what was sent, credentials masked.
    """

    ok: bool
    status_code: int | None = None
    latency_ms: float | None = None
    response: str = ""
    error: str = ""
    retry_after_s: float | None = None
    gone: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)


class Transport(ABC):
    """One way out."""

    kind: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    #: False where each alert is opened and closed by itself on the other side, so that a summary means nothing there.
    takes_summaries: ClassVar[bool] = True
    #: What people should know who choose it; shown in forms, API and docs.
    note: ClassVar[str] = ""

    def clean(self, config: Mapping[str, Any]) -> None:  # noqa: B027  not every transport has more to check
        """Check what the single fields can't; raise Invalid with `config.<field>`."""

    @abstractmethod
    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """Send once. Never raises for what the other side or the way there does: that is an outcome."""

    def clean_config(self, given: Mapping[str, Any], previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a configuration in order; "***" keeps what was stored.

        Raises:
            Invalid: a field is missing, unknown or wrong (422); fields are named `config.<field>`.
        """
        previous = previous or {}
        known = {one.name for one in self.fields}
        problems = {f"config.{name}": f"{self.label} has no such field" for name in given if name not in known}
        cleaned: dict[str, Any] = {}
        for one in self.fields:
            value = given.get(one.name, one.default)
            if value in (None, "", [], {}):
                if one.required:
                    problems[f"config.{one.name}"] = "is required"
                continue
            try:
                cleaned[one.name] = _clean_value(one, value, previous.get(one.name))
            except ValueError as error:
                problems[f"config.{one.name}"] = str(error)
        if problems:
            raise Invalid(problems)
        self.clean(cleaned)
        return cleaned

    def mask(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration as people may see it."""
        shown: dict[str, Any] = {}
        for one in self.fields:
            if one.name not in config:
                continue
            value = config[one.name]
            if one.kind == "headers":
                value = dict.fromkeys(value, MASK)
            elif one.secret:
                value = MASK
            shown[one.name] = value
        return shown


def _clean_value(one: Field, value: Any, previous: Any) -> Any:
    if one.kind == "headers":
        return _clean_headers(value, previous or {})
    if one.secret and value == MASK:
        if not previous:
            raise ValueError("give the value itself")
        return previous
    if one.kind == "integer":
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not one.least <= value <= one.most:
            raise ValueError(f"give a whole number from {one.least} to {one.most}")
        return value
    if one.kind == "choice":
        if value not in one.choices:
            raise ValueError(f"choose one of {', '.join(one.choices)}")
        return value
    if one.kind == "texts":
        words = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValueError("give a list of texts")
        return list(dict.fromkeys(words))
    if not isinstance(value, str) or len(value) > one.most or any(ord(letter) < 32 for letter in value):
        raise ValueError(f"give one line of at most {one.most} characters")
    if one.kind == "url":
        try:
            check_url(value, Purpose.DELIVER)
        except (InvalidTarget, OutboundRefused) as error:
            raise ValueError(error.message) from error
    return value


def _clean_headers(value: Any, previous: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > 20:
        raise ValueError("give at most 20 headers as name and value")
    headers: dict[str, str] = {}
    for name, text in value.items():
        if not _HEADER.match(name) or name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise ValueError(f"the header “{name}” can't be set")
        if text == MASK and name in previous:
            text = previous[name]
        if not isinstance(text, str) or len(text) > 2000 or any(ord(letter) < 32 for letter in text):
            raise ValueError(f"the value of {name} must be one line of text")
        headers[name] = text
    return headers


_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer",
         "expect", "keep-alive", "proxy-connection"}  # fmt: skip

transports: Registry[Transport] = Registry("notification transport")


def register(transport: type[Transport]) -> type[Transport]:
    """Register a transport class under its `kind`."""
    transports.register(transport.kind, transport())
    return transport


def excerpt(text: str) -> str:
    """Return at most 2 kB of an answer, fit for a database text."""
    return text.encode(errors="replace")[:EXCERPT_BYTES].decode(errors="ignore").replace("\x00", "")
