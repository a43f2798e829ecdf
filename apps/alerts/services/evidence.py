"""What changed before an alert opened: facts of the event log about its thing, and what is near it."""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.alerts.models import Alert
from apps.core.models import Event
from apps.monitors.services.dependencies import Thing

#: How far back.
BEFORE_S = 1800
#: At most so many changes are kept with an alert; the nearest and newest.
MOST = 20
#: At most so many facts are held in memory; in a storm the oldest go.
HELD = 5000
#: How long this process goes on with what it has read; it always adds what is new.
REREAD_S = 60.0
#: What is new is asked for at most this often: in a storm, one alert's changes do for the next hundred.
LOOK_S = 0.25

#: Facts that change nothing: what people read, and how messages went.
_NOT = ("notification", "webhook.redelivered", "alert.acknowledged", "alert.unacknowledged", "alert.unsilenced")
_NOT_FAMILIES = ("auth.", "session.", "notification.", "delivery.", "ticket.", "silence.", "user.", "api_key.", "mfa.")
#: What comes from a monitor itself says the same as its alert.
_MONITORS = (
    "endpoint.alert", "endpoint.recovery", "certificate.alert", "certificate.recovery", "server.offline",
    "server.online", "heartbeat.deadline_missed", "heartbeat.failed", "heartbeat.recovered", "alert.suppressed",
    "alert.silenced", "alert.escalated", "alert.step_reached", "alert.reminded", "alert.flapping",
)  # fmt: skip
#: Changes of the platform as a whole, by people.
_PLATFORM = ("setting.changed", "threshold.")

_NEAR = ("subject", "server", "parent", "tag", "platform")


@dataclass(frozen=True, slots=True)
class _Change:
    id: int
    at: datetime
    name: str
    kind: str
    thing: str
    subject: str
    actor: str
    by_person: bool
    server_id: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]
    alert_thing: tuple[str, str]


@dataclass(slots=True)
class _Log:
    """The changes of the last half hour, found by what they are about."""

    read_at: float = -1e9
    looked_at: float = -1e9
    last_id: int = 0
    by_thing: defaultdict[tuple[str, str], list[_Change]] = field(default_factory=lambda: defaultdict(list))
    by_tag: defaultdict[str, list[_Change]] = field(default_factory=lambda: defaultdict(list))
    platform: list[_Change] = field(default_factory=list)


_log = _Log()
_lock = threading.Lock()


def changes_before(alert: Alert, *, parents: Collection[Thing], now: datetime) -> list[dict[str, Any]]:
    """Return what changed within the half hour before an alert opens, the newest first.

    Looked at: its thing, its server, its parents, what shares a tag with it, and the platform's settings. One query an
    alert, for what is new since the last one.

    Returns:
        At most 20 of {at, event, what, near, by, fields}; `near` says how it is related, `fields` what was edited.
    """
    since = now - timedelta(seconds=BEFORE_S)
    with _lock:
        _catch_up(since)
        found: dict[int, tuple[str, _Change]] = {}

        def add(near: str, rows: Iterable[_Change]) -> None:
            for row in list(rows)[-200:]:
                own = row.alert_thing == (alert.subject_kind, alert.subject_id) and near == "subject"
                if near == "tag" and row.alert_thing[0] == alert.subject_kind == "external":
                    continue  # another system's alerts of one storm share its tags, and say nothing of each other
                if row.at >= since and not (own and row.name == "alert.opened"):
                    found.setdefault(row.id, (near, row))

        add("subject", _log.by_thing.get((alert.subject_kind, alert.subject_id), ()))
        if alert.server_id:
            add("server", _log.by_thing.get(("server", str(alert.server_id)), ()))
        for thing in parents:
            add("server" if thing[0] == "server" else "parent", _log.by_thing.get(thing, ()))
        for tag in alert.tags:
            add("tag", _log.by_tag.get(tag, ()))
        add("platform", _log.platform)
    nearest = sorted(found.values(), key=lambda pair: (_NEAR.index(pair[0]), -pair[1].id))[:MOST]
    return [_told(near, row) for near, row in sorted(nearest, key=lambda pair: -pair[1].id)]


def forget() -> None:
    """Drop what this process holds."""
    global _log
    _log = _Log()


def _told(near: str, row: _Change) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(),
        "event": row.name,
        "what": row.subject,
        "kind": row.kind,
        "near": near,
        "by": row.actor,
        "fields": list(row.fields),
    }


def _catch_up(since: datetime) -> None:
    global _log
    now = time.monotonic()
    if now - _log.looked_at < LOOK_S:
        return
    fresh = now - _log.read_at > REREAD_S
    if fresh:  # what was committed late, or is too old by now, is put right here
        _log = _Log(read_at=now)
        rows = Event.objects.filter(at__gte=since)
    else:
        rows = Event.objects.filter(id__gt=_log.last_id)
    _log.looked_at = now
    columns = (
        "id", "at", "name", "subject_kind", "subject_id", "subject_name", "actor_name", "actor", "audience", "tags",
        "audit", "data",
    )  # fmt: skip
    for row in reversed(rows.order_by("-id").values_list(*columns)[:HELD]):
        _log.last_id = max(_log.last_id, row[0])
        change = _change(*row)
        if change is not None:
            _put(change)


def _change(
    id: int, at: datetime, name: str, kind: str, thing: str, subject: str, actor_name: str, actor: dict[str, Any],
    audience: dict[str, Any], tags: list[str], audit: dict[str, Any], data: dict[str, Any],
) -> _Change | None:  # fmt: skip
    if name in _NOT or name in _MONITORS or name.startswith(_NOT_FAMILIES) or audience.get("owner_id"):
        return None
    # Of what was made or removed all fields are new; only of a change do they say something.
    fields = sorted(set(audit.get("after") or ()) & set(audit.get("before") or ()))[:8]
    about = (str(data.get("subject_kind", "")), str(data.get("subject_id", ""))) if kind == "alert" else ("", "")
    by_person = actor.get("kind") in ("user", "api_key")
    return _Change(
        id, at, name, kind, thing, subject, actor_name if by_person else "", by_person,
        str(audience.get("server_id") or ""), tuple(tags or ()), tuple(fields), about,
    )  # fmt: skip


def _put(change: _Change) -> None:
    things = {(change.kind, change.thing)}
    if change.alert_thing[0]:
        things.add(change.alert_thing)
    if change.server_id:
        things.add(("server", change.server_id))
    for thing in things:
        _log.by_thing[thing].append(change)
    for tag in change.tags:
        _log.by_tag[tag].append(change)
    if change.by_person and change.name.startswith(_PLATFORM):
        _log.platform.append(change)
