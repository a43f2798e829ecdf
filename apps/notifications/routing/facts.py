"""What routing needs to know of a fact; an `Event` is one, and so is one that never happened."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone

from apps.core.ids import new_id


class FactLike(Protocol):
    """A fact, or something made up that reads like one."""

    # Plain attributes and not properties, so that rows of the database fit without a wrapper.
    name: Any
    subject_kind: Any
    subject_id: Any
    subject_name: Any
    level: Any
    tags: Any
    data: Any
    audience: Any
    at: Any
    uid: Any
    seq: Any
    actor: Any


@dataclass(slots=True)
class MadeFact:
    """A fact that never happened, for previews and rehearsals; it reads like an alert's opening where nothing else is
    said.
    """

    name: str = "alert.opened"
    subject_kind: str = "alert"
    subject_id: str = ""
    subject_name: str = ""
    level: str = "critical"
    tags: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    audience: Mapping[str, Any] = field(default_factory=lambda: {"permission": "alerts:view"})
    at: datetime = field(default_factory=timezone.now)
    uid: UUID = field(default_factory=new_id)
    seq: int | None = None
    actor: Mapping[str, Any] = field(default_factory=dict)


def level_of(fact: FactLike) -> str:
    """Return the level that filters see: an alert's own, else the fact's."""
    return str(fact.data.get("level") or fact.level)


def source_of(fact: FactLike) -> str:
    """Return the source that filters see: an alert's own, else the kind of the subject."""
    return str(fact.data.get("source") or fact.subject_kind)


def server_of(fact: FactLike) -> str:
    """Return the id of the server that a fact is about; "" where it is about none."""
    return str(fact.data.get("server_id") or fact.audience.get("server_id") or "")


def names_of(fact: FactLike) -> set[str]:
    """Return every name that a subject pattern may match: of an alert's subject, or of the fact's."""
    found: set[str] = set()
    pairs = [(fact.subject_kind, fact.subject_id, fact.subject_name)]
    if fact.name.startswith("alert."):
        data = fact.data
        pairs.append((data.get("subject_kind") or "", data.get("subject_id") or "", data.get("subject_name") or ""))
    for kind, number, name in pairs:
        found |= {name, number, f"{kind}:{number}", f"{kind}:{name}"}
    return {name.casefold() for name in found if name}


def thing_of(fact: FactLike) -> str:
    """Return what the fact is about in the end: an alert's subject rather than the alert."""
    kind, name = fact.data.get("subject_kind"), fact.data.get("subject_id")
    if fact.name.startswith("alert.") and kind and name:
        return f"{kind}:{name}"[:200]
    return f"{fact.subject_kind}:{fact.subject_id}"[:200]


def lane_of(destination_id: UUID, subject_kind: str, subject_id: str) -> str:
    """Return the name of the queue in which messages to one destination about one subject keep their order."""
    return hashlib.blake2b(f"{destination_id}|{subject_kind}|{subject_id}".encode(), digest_size=16).hexdigest()
