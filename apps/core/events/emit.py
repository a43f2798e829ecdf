"""Emit: one row in the caller's transaction, one bell after its commit."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core import bell, context
from apps.core.events.catalogue import FACT, LIVE, Declaration, catalogue
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import Principal
from apps.core.rows import insert_rows

_COLUMNS = (
    "uid", "name", "subject_kind", "subject_id", "subject_name", "level", "tags", "audience", "data", "audit", "actor",
    "actor_name", "at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about: kind ("endpoint"), id, and the name it had then."""

    kind: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A fact that is about to be written; fields as for `emit`."""

    name: str = field(kw_only=False)
    subject: Subject
    actor: Principal
    data: Mapping[str, Any] | None = None
    level: str = "info"
    tags: Iterable[str] = ()
    owner_id: UUID | str | None = None
    server_id: UUID | str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    note: str = ""
    at: datetime | None = None


def emit(
    name: str,
    *,
    subject: Subject,
    actor: Principal,
    data: Mapping[str, Any] | None = None,
    level: str = "info",
    tags: Iterable[str] = (),
    owner_id: UUID | str | None = None,
    server_id: UUID | str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
    at: datetime | None = None,
) -> Event:
    """Write the fact `name` in the caller's transaction.

    Args:
        data: the public payload, as the catalogue's schema says; JSON-able (ids as text, times as ISO 8601).
        owner_id: only this user may see it (inbox, own keys).
        server_id: a key bound to a server sees it only where this is its server.
        before, after: changed fields for the audit trail; secret ones as "***". They never leave the audit rows.
        note: one sentence for the audit trail.

    Raises:
        KeyError: the event is not in the catalogue. A programming error.
    """
    event = _event(
        Emission(
            name, subject=subject, actor=actor, data=data, level=level, tags=tags, owner_id=owner_id,
            server_id=server_id, before=before, after=after, note=note, at=at,
        )
    )  # fmt: skip
    event.save(force_insert=True)
    transaction.on_commit(_ring)
    return event


def emit_many(emissions: Iterable[Emission]) -> int:
    """Write many facts in the caller's transaction, in one statement for some hundreds; otherwise as `emit`.

    Returns:
        How many.
    """
    rows = _rows_of(emissions)
    insert_rows(Event, _COLUMNS, rows)
    if rows:
        transaction.on_commit(_ring)
    return len(rows)


def _rows_of(emissions: Iterable[Emission]) -> list[tuple[Any, ...]]:
    """Return the facts as rows. What many share (actor, audience, request) is made into JSON once."""
    now = timezone.now()
    known: dict[object, str] = {}

    def once(key: object, make: Callable[[], Mapping[str, Any]]) -> str:
        if (text := known.get(key)) is None:
            text = known[key] = json.dumps(make())
        return text

    actors: dict[int, Principal] = {}
    rows = []
    for one in emissions:
        permission = _checked(one).permission
        actors.setdefault(id(one.actor), one.actor)  # kept, so that no other gets its id meanwhile
        is_plain = one.before is None and one.after is None and not one.note
        rows.append(
            (
                new_id(),
                one.name,
                one.subject.kind,
                one.subject.id,
                one.subject.name[:255],
                one.level,
                json.dumps(sorted(one.tags)) if one.tags else "[]",
                once(("audience", permission, one.owner_id, one.server_id), partial(_audience, one, permission)),
                json.dumps(dict(one.data or {})),
                once("audit", partial(_audit, one)) if is_plain else json.dumps(_audit(one)),
                once(("actor", id(one.actor)), one.actor.snapshot),
                one.actor.name[:255],
                one.at or now,
            )
        )
    return rows


@cache
def _validator(name: str) -> Any:
    # Made once for each event: checking a schema costs a hundred times as much as using it.
    import jsonschema

    return jsonschema.Draft202012Validator(catalogue[name].schema())


def _event(one: Emission) -> Event:
    declaration = _checked(one)
    return Event(
        name=one.name,
        subject_kind=one.subject.kind,
        subject_id=one.subject.id,
        subject_name=one.subject.name[:255],
        level=one.level,
        tags=sorted(one.tags),
        audience=_audience(one, declaration.permission),
        data=dict(one.data or {}),
        audit=_audit(one),
        actor=one.actor.snapshot(),
        actor_name=one.actor.name[:255],
        at=one.at or timezone.now(),
    )


def _checked(one: Emission) -> Declaration:
    declaration = catalogue[one.name]
    assert declaration.kind == FACT, f"{one.name} is a live event"
    if settings.VALIDATE_EVENTS:
        _validator(one.name).validate(dict(one.data or {}))
    return declaration


def _audience(one: Emission, permission: str) -> dict[str, Any]:
    audience: dict[str, Any] = {"permission": permission}
    if one.owner_id is not None:
        audience["owner_id"] = str(one.owner_id)
    if one.server_id is not None:
        audience["server_id"] = str(one.server_id)
    return audience


def _audit(one: Emission) -> dict[str, Any]:
    request = context.current()
    audit: dict[str, Any] = {}
    for key, value in (
        ("before", one.before),
        ("after", one.after),
        ("note", one.note),
        ("address", request.address),
        ("user_agent", request.user_agent[:300]),
        ("request_id", request.request_id),
    ):
        if value:
            audit[key] = dict(value) if isinstance(value, Mapping) else value
    return audit


def _ring() -> None:
    bell.ring(bell.EVENTS)


def publish_live(
    name: str,
    *,
    subject: Subject,
    data: Mapping[str, Any],
    owner_id: UUID | str | None = None,
    server_id: UUID | str | None = None,
    at: datetime | None = None,
) -> None:
    """Publish a live event: batched for 250 ms, no row, not replayed, dropped where nobody follows."""
    declaration = catalogue[name]
    assert declaration.kind == LIVE, f"{name} is a fact"
    if not bell.live_is_followed():
        return
    bell.publish_live(
        {
            "event": name,
            "subject": {"kind": subject.kind, "id": subject.id, "name": subject.name},
            "at": (at or timezone.now()).isoformat(),
            "data": dict(data),
            "audience": {
                "permission": declaration.permission,
                **({"owner_id": str(owner_id)} if owner_id else {}),
                **({"server_id": str(server_id)} if server_id else {}),
            },
        }
    )
