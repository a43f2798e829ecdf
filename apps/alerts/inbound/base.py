"""The one form of an alert that arrives, and what reading all the others takes. Strangers' strings are bounded here."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.core.errors import DomainError, Invalid
from apps.core.registries import Registry

#: At most so many alerts in one post.
ALERTS_MOST = 5000
#: At most so many labels, and as many annotations, of one alert are kept.
LABELS_MOST = 64
LABEL_CHARS = 1024
NAME_CHARS = 128
MESSAGE_CHARS = 2000
TITLE_CHARS = 255
LINK_CHARS = 2000
FINGERPRINT_CHARS = 512

LEVELS = {
    "critical": "critical", "crit": "critical", "fatal": "critical", "emergency": "critical", "emerg": "critical",
    "disaster": "critical", "page": "critical", "alert": "critical", "p1": "critical", "sev1": "critical",
    "warning": "warning", "warn": "warning", "error": "warning", "err": "warning", "major": "warning",
    "minor": "warning", "high": "warning", "medium": "warning", "moderate": "warning", "average": "warning",
    "p2": "warning", "p3": "warning", "sev2": "warning", "sev3": "warning",
    "info": "info", "information": "info", "informational": "info", "notice": "info", "low": "info", "debug": "info",
    "none": "info", "p4": "info", "p5": "info", "sev4": "info",
}  # fmt: skip
#: Labels that say how bad it is, and on which machine it is; the first that is there counts.
LEVEL_LABELS = ("severity", "level", "priority", "state")
HOST_LABELS = ("server", "host", "hostname", "instance", "node", "nodename")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One alert as its sender tells it.

    Args:
        fingerprint: by which the sender knows it again.
        kind: what is wrong, as the sender calls it; becomes the alert's kind.
        level: info, warning or critical; "" where the sender does not say.
        severity: the sender's own word for it.
        starts_at: when this outage began; with the fingerprint, its identity. None where the sender does not say.
        said_at: when the sender said so; orders news of senders without a start.
        ends_at: when it is over without further news.
        hosts: names and addresses of the machine, the best first.
    """

    fingerprint: str
    kind: str
    name: str
    message: str
    is_firing: bool
    level: str = ""
    severity: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    value: float | None = None
    starts_at: datetime | None = None
    said_at: datetime | None = None
    ends_at: datetime | None = None
    hosts: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return what tells a change from a repetition."""
        said = [
            self.name, self.message, self.level, self.severity, dict(self.labels), dict(self.annotations), self.link,
            self.value,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one alert of a post.

    Args:
        index: place in the post, from 0.
        field: place in the alert, such as "labels.severity"; "" for the alert as a whole.
    """

    index: int
    field: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as answers show it."""
        return {"index": self.index, "field": self.field, "message": self.message[:300]}


@dataclass(slots=True)
class Batch:
    """What a post says: alerts to take, faults of single ones, and what was passed over on purpose."""

    alerts: list[Incoming] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)  # of each of them in the post
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ignored: int = 0


class Wrong(Exception):
    """One alert can't be taken; the others can."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place, self.message = place, message


class PassOver(Exception):
    """One entry is no news of an alert, such as a monitor that is being tried."""


class Kind(ABC):
    """How one system posts."""

    label: ClassVar[str]
    #: Level of alerts that name none, where people don't choose another.
    default_level: ClassVar[str] = "warning"
    #: Whether it says that an alert is over. Where not, alerts end after a while without news.
    sends_resolved: ClassVar[bool] = True

    @abstractmethod
    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says.

        Raises:
            Invalid: it is none of this system (422).
        """

    @abstractmethod
    def steps(self) -> list[str]:
        """Return what to do over there, in order."""

    @abstractmethod
    def snippet(self, url: str, token: str) -> str:
        """Return the text to paste over there, address and token filled in.

        Args:
            url: address that contains the token.
            token: the token alone, for systems that can send a header.
        """


kinds: Registry[Kind] = Registry("kind of alert source")


def register(name: str) -> Callable[[type[Kind]], type[Kind]]:
    """Decorate the class of a kind."""

    def add(cls: type[Kind]) -> type[Kind]:
        kinds.register(name, cls())
        return cls

    return add


# --- reading -------------------------------------------------------------------------------------------------------


def read_json(body: bytes) -> Any:
    """Return the JSON of a body.

    Raises:
        DomainError: it is none (400).
    """

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number of JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError as error:
        raise DomainError("The JSON is nested too deeply.", code="bad_json") from error
    except UnicodeDecodeError as error:
        raise DomainError("The body is not JSON: it is not UTF-8.", code="bad_json") from error
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DomainError(f"The body is not JSON: {what[:120]}{where}.", code="bad_json") from error


def expect_object(document: Any, shape: str) -> Mapping[str, Any]:
    """Return the body as an object.

    Raises:
        Invalid: it is none (422).
    """
    if not isinstance(document, Mapping):
        raise Invalid({"": f"give an object as {shape} posts it"})
    return document


def read_each(entries: Any, read: Callable[[Mapping[str, Any]], Incoming], *, place: str = "alerts") -> Batch:
    """Read a list of alerts one by one; a bad one does not keep the others out.

    Raises:
        Invalid: it is no list, or too long (422).
    """
    if not isinstance(entries, list):
        raise Invalid({place: "give a list of alerts"})
    if len(entries) > ALERTS_MOST:
        raise Invalid({place: f"at most {ALERTS_MOST} alerts in one post, not {len(entries)}; send them in parts"})
    batch = Batch()
    for index, entry in enumerate(entries):
        try:
            if not isinstance(entry, Mapping):
                raise Wrong("", "is not an object")
            batch.alerts.append(read(entry))
            batch.indexes.append(index)
        except Wrong as wrong:
            batch.problems.append(Problem(index, wrong.place, wrong.message))
        except PassOver:
            batch.ignored += 1
    return batch


def text(value: Any, most: int) -> str:
    """Return a value as one bounded text that every database can store; "" for nothing."""
    if value is None:
        return ""
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    words = words[: most * 4].replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip()
    return words if len(words) <= most else words[: most - 1] + "…"


def pairs(value: Any, place: str) -> dict[str, str]:
    """Return labels or annotations, bounded in number and size.

    Raises:
        Wrong: neither an object nor nothing.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Wrong(place, "is not an object of names and values")
    found: dict[str, str] = {}
    for name, given in value.items():
        key = text(name, NAME_CHARS)
        if key and len(found) < LABELS_MOST:
            found[key] = text(given, LABEL_CHARS)
    return found


def moment(value: Any, place: str) -> datetime | None:
    """Return a time; None for nothing, for the zero time of Go, and for one that lies beyond all sense.

    Args:
        value: ISO 8601 (UTC without a zone), or seconds or milliseconds since 1970.

    Raises:
        Wrong: it is no time.
    """
    if value is None or value == "":
        return None
    found: datetime | None = None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        elif isinstance(value, str):
            found = parse_datetime(value.strip()[:64])
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None:
        raise Wrong(place, f"“{text(value, 40)}” is no time; give ISO 8601 such as 2026-01-31T09:52:26Z")
    if not 1970 < found.year < 9000:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def start(value: Any, place: str) -> datetime | None:
    """Return when an outage began; None also for a start in the future, which would make all later news look old.

    Raises:
        Wrong: it is no time.
    """
    found = moment(value, place)
    return None if found is not None and found > timezone.now() + timedelta(hours=1) else found


def link(*candidates: Any) -> str:
    """Return the first address that a browser may open: http or https alone."""
    for one in candidates:
        address = text(one, LINK_CHARS)
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.netloc and not any(char.isspace() for char in address):
            return address
    return ""


def figure(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def level_of(*words: str) -> tuple[str, str]:
    """Return (level, the word it was read from) by the first word that is a level; ("", the first word) by none."""
    given = [word for word in words if word]
    for word in given:
        if word.strip().lower() in LEVELS:
            return LEVELS[word.strip().lower()], word
    return "", given[0] if given else ""


def hosts_of(labels: Mapping[str, str], *more: str) -> tuple[str, ...]:
    """Return how the machine may be called, without ports, the best name first."""
    found: list[str] = []
    for word in (*more, *(labels.get(name, "") for name in HOST_LABELS)):
        word = word.strip()
        if not word or len(word) > 300:
            continue
        if "://" in word:
            try:
                word = urlsplit(word).hostname or ""
            except ValueError:
                continue
        found.append(word)
        if word.startswith("[") and "]" in word:
            found.append(word[1 : word.index("]")])
        elif word.count(":") == 1:
            found.append(word.partition(":")[0])
    return tuple(dict.fromkeys(word for word in found if word))


def fingerprint_of(given: Any, labels: Mapping[str, str]) -> str:
    """Return the sender's fingerprint, else one of the labels.

    Raises:
        Wrong: neither is there.
    """
    if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip():
        return text(str(given), FINGERPRINT_CHARS)
    if not labels:
        raise Wrong("fingerprint", "give a fingerprint or labels, by which the alert is known again")
    return hashlib.sha256(json.dumps(dict(labels), sort_keys=True).encode()).hexdigest()


def first(*values: str) -> str:
    """Return the first that is not empty."""
    return next((value for value in values if value), "")


def title(name: str, labels: Mapping[str, str], names: Iterable[str] = HOST_LABELS) -> str:
    """Return what the alert is about, in a line: its name and the machine."""
    where = first(*(labels.get(label, "") for label in names))
    line = " ".join(f"{name} on {where}".split()) if where and where not in name else " ".join(name.split())
    return text(line, TITLE_CHARS)
