"""What people read: title, message and link of a fact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.core.events.catalogue import catalogue
from apps.core.registries import subjects
from apps.notifications.routing.facts import FactLike, level_of, source_of, thing_of

__all__ = [
    "CALMING",
    "LEVEL_WORDS",
    "Text",
    "level_of",
    "payload_for_people",
    "payload_of",
    "source_of",
    "text_of",
    "thing_of",
]

LEVEL_WORDS = {"critical": "Critical", "warning": "Warning", "info": "Notice"}
#: Told without alarm, whatever the level of the alert was.
CALMING = ("alert.acknowledged", "alert.silenced", "alert.resolved", "alert.settled")
_ALERT_WORDS = {
    "alert.escalated": "Worse",
    "alert.acknowledged": "Acknowledged",
    "alert.silenced": "Silenced",
    "alert.resolved": "Resolved",
    "alert.unsilenced": "Still open",
    "alert.flapping": "Flapping",
    "alert.settled": "Stable again",
}
_TITLES = {"secret.expiring": "Secret ends soon", "secret.expired": "Secret has ended"}


@dataclass(frozen=True, slots=True)
class Text:
    """A message for people. `path` is the console page it leads to, "" where there is none."""

    title: str
    message: str
    level: str
    path: str

    @property
    def url(self) -> str:
        """Return the absolute link."""
        return settings.PUBLIC_URL + self.path if self.path else ""


def text_of(event: FactLike) -> Text:
    """Return the fact in words."""
    level = "info" if event.name in CALMING else level_of(event)
    if event.name.startswith("alert."):
        title, message = _alert(event, level)
    elif event.name == "system.alert":
        title, message = str(event.data.get("title", "")), str(event.data.get("message", ""))
    elif event.name in _TITLES:
        title, message = f"{_TITLES[event.name]}: {event.subject_name}", str(event.data.get("message", ""))
    else:
        declared = catalogue.get(event.name)
        title = f"{event.name}: {event.subject_name or event.subject_id}"
        message = str(event.data.get("message") or (declared.doc if declared else ""))
    return Text(title=title[:255], message=message, level=level, path=_path(event.subject_kind, event.subject_id))


def _alert(event: FactLike, level: str) -> tuple[str, str]:
    data = event.data
    word = _ALERT_WORDS.get(event.name) or LEVEL_WORDS.get(level, level.capitalize())
    name = data.get("subject_name") or event.subject_name or data.get("subject_id") or event.subject_id
    message = str(data.get("message") or "")
    figures = _figures(data)
    if figures and figures not in message:
        message = f"{message} ({figures})" if message else figures
    if event.name in ("alert.acknowledged", "alert.silenced") and data.get("by"):
        message = f"By {data['by']}. {message}"
    if data.get("note"):
        message = f"{message} Note: {data['note']}".strip()
    return f"{word}: {name}", message


def _figures(data: Mapping[str, Any]) -> str:
    value, threshold = data.get("value"), data.get("threshold")
    if not isinstance(value, int | float):
        return ""
    return f"value {value:g}, threshold {threshold:g}" if isinstance(threshold, int | float) else f"value {value:g}"


def _path(kind: str, name: str) -> str:
    known = subjects.get(kind)
    return known.url(name) if known else ""


def payload_of(fact: FactLike) -> dict[str, Any]:
    """Return a fact as programs get it. Source: Standard Webhooks, "payload structure"."""
    return {
        "type": fact.name,
        "timestamp": fact.at.isoformat().replace("+00:00", "Z"),
        "id": str(fact.uid),
        "seq": fact.seq,
        "data": fact.data,
        "subject": {"kind": fact.subject_kind, "id": fact.subject_id, "name": fact.subject_name},
        "level": fact.level,
        "tags": fact.tags,
        "actor": {key: fact.actor.get(key) for key in ("kind", "id", "name")},
    }


def payload_for_people(fact: FactLike, *, prefix: str = "") -> dict[str, Any]:
    """Return a fact as channels get it: the payload of programs with title, message and link."""
    text = text_of(fact)
    words = {"title": f"{prefix}{text.title}", "message": text.message, "url": text.url}
    return {**payload_of(fact), "level": text.level, **words}
