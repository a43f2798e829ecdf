"""Anything that posts JSON: where each thing stands is said by JSON paths."""

from collections.abc import Mapping
from typing import Any

from apps.alerts.inbound.base import (
    LABELS_MOST,
    MESSAGE_CHARS,
    NAME_CHARS,
    Batch,
    Incoming,
    Kind,
    Wrong,
    fingerprint_of,
    first,
    hosts_of,
    level_of,
    link,
    moment,
    pairs,
    read_each,
    register,
    start,
    text,
    title,
)
from apps.core.errors import Invalid
from apps.core.json_path import Missing, parse_json_path, value_at

#: What a mapping may place, where each stands if it says nothing, and what it means.
FIELDS = {
    "alerts": ("", "The list of alerts. Empty: the body is one alert, or a list of them."),
    "name": ("name", "What is wrong."),
    "message": ("message", "A sentence about it."),
    "status": ("status", "Whether it is over; what is none of the words for “over” opens an alert."),
    "level": ("severity", "How bad it is: critical, warning, error, info and the like."),
    "fingerprint": ("id", "By which the alert is known again; without one, its labels or its name."),
    "labels": ("labels", "An object of names and values."),
    "server": ("host", "The machine: a known server's name or address."),
    "link": ("url", "Where more stands, http or https."),
    "starts_at": ("starts_at", "When it began."),
    "ends_at": ("ends_at", "When it is over without further news."),
}
#: Words of `status` that mean that it is over.
OVER = (
    "resolved", "ok", "up", "closed", "recovered", "recovery", "normal", "inactive", "cleared", "success", "false", "0",
)  # fmt: skip
OVER_FIELD = "resolved"


def mapping_problems(mapping: Any) -> dict[str, str]:
    """Return field -> sentence for what is wrong with a mapping."""
    if not isinstance(mapping, Mapping):
        return {"mapping": "give an object of fields and JSON paths"}
    problems: dict[str, str] = {}
    for name, path in mapping.items():
        place = f"mapping.{name}"
        if name == OVER_FIELD:
            if not isinstance(path, list) or len(path) > 50 or not all(isinstance(one, str) for one in path):
                problems[place] = "give a list of at most 50 words"
            continue
        if name not in FIELDS:
            problems[place] = f"is not one of {', '.join([*FIELDS, OVER_FIELD])}"
        elif not isinstance(path, str) or len(path) > 200:
            problems[place] = "give a JSON path of at most 200 characters"
        elif path:
            try:
                parse_json_path(path)
            except ValueError as error:
                problems[place] = str(error)
    return problems


def _found(entry: Any, mapping: Mapping[str, Any], name: str) -> Any:
    """Return what stands where the mapping says; a path that people chose and that leads nowhere is a fault only
    where nothing else tells the alert from others.
    """
    path = mapping.get(name, FIELDS[name][0])
    if not path:
        return None
    try:
        return value_at(entry, parse_json_path(path))
    except Missing:
        return None


def _word(value: Any) -> str:
    """Return a status as a word: true and 1 as they stand in lists of words."""
    return text(value, 100).lower()


def _read(entry: Mapping[str, Any], mapping: Mapping[str, Any]) -> Incoming:
    labels = pairs(_found(entry, mapping, "labels"), mapping.get("labels", "labels"))
    name = text(_found(entry, mapping, "name"), NAME_CHARS)
    server = text(_found(entry, mapping, "server"), 300)
    known_by = _found(entry, mapping, "fingerprint")
    if not name and known_by in (None, ""):
        raise Wrong(
            mapping.get("name", FIELDS["name"][0]),
            "nothing stands there; give the alert a name, or say in the source's mapping where it has one",
        )
    if server and len(labels) < LABELS_MOST:
        labels.setdefault("host", server)
    over = [word.lower() for word in mapping.get(OVER_FIELD) or OVER]
    firing = _word(_found(entry, mapping, "status")) not in over
    level, severity = level_of(text(_found(entry, mapping, "level"), 100), labels.get("severity", ""))
    label = first(name, "Alert without a name")
    ends_at = moment(_found(entry, mapping, "ends_at"), mapping.get("ends_at", "ends_at"))
    return Incoming(
        fingerprint=fingerprint_of(known_by, labels | {"name": name}),
        kind=label,
        name=title(label, labels),
        message=first(text(_found(entry, mapping, "message"), MESSAGE_CHARS), label),
        is_firing=firing,
        level=level,
        severity=severity,
        labels=labels,
        link=link(_found(entry, mapping, "link")),
        starts_at=start(_found(entry, mapping, "starts_at"), mapping.get("starts_at", "starts_at")),
        ends_at=ends_at if firing else None,
        hosts=hosts_of(labels, server),
    )


@register("generic")
class Generic(Kind):
    """Anything that posts JSON."""

    label = "Anything that posts JSON"
    sends_resolved = False

    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says."""
        entries, path = document, mapping.get("alerts", "")
        if path:
            try:
                entries = value_at(document, parse_json_path(path))
            except Missing as missing:
                raise Invalid(
                    {path: f"the body has no {missing}, where the source's mapping finds the alerts"}
                ) from missing
        if isinstance(entries, Mapping):
            entries = [entries]
        return read_each(entries, lambda entry: _read(entry, mapping), place=path)

    def steps(self) -> list[str]:
        """Return what to do over there."""
        return [
            "Let the other system POST JSON to the URL below, when something goes wrong and when it is over.",
            "Where its fields are called otherwise, say in this source's mapping where they stand.",
        ]

    def snippet(self, url: str, token: str) -> str:
        """Return a call to try."""
        return f"""curl -fsS -X POST -H 'Content-Type: application/json' '{url}' -d '{{
  "id": "backup-db1", "name": "Backup failed", "message": "db1: no space left",
  "severity": "critical", "host": "db1", "status": "firing"
}}'
# and when it is over: the same with "status": "resolved"
"""
