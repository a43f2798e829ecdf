"""The catalogue: every event's name, class, meaning, who may see it, and the schema of its public payload."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.registries import Registry

FACT = "fact"
LIVE = "live"

LEVELS = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One event of the catalogue.

    Args:
        name: `noun.past_verb`, or one of the given names.
        kind: FACT (row, audit, resume, webhooks, rules) or LIVE (published in batches, no row).
        doc: one sentence for `docs/events.md`.
        permission: code a reader must hold; "" for facts that only the audit trail shows.
        fields: payload field -> JSON schema fragment. Every field is required; add "null" to its type where it may be
            absent of value.
    """

    name: str
    kind: str
    doc: str
    permission: str
    fields: Mapping[str, Mapping[str, Any]]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of `data`."""
        return {
            "type": "object",
            "properties": {name: dict(field) for name, field in self.fields.items()},
            "required": sorted(self.fields),
            "additionalProperties": False,
        }


catalogue: Registry[Declaration] = Registry("event")

# Fragments for the common kinds of field.
TEXT: Mapping[str, Any] = {"type": "string"}
TEXT_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"]}
ID: Mapping[str, Any] = {"type": "string", "format": "uuid"}
ID_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"], "format": "uuid"}
NUMBER: Mapping[str, Any] = {"type": "number"}
NUMBER_OR_NULL: Mapping[str, Any] = {"type": ["number", "null"]}
INTEGER: Mapping[str, Any] = {"type": "integer"}
INTEGER_OR_NULL: Mapping[str, Any] = {"type": ["integer", "null"]}
BOOLEAN: Mapping[str, Any] = {"type": "boolean"}
TIME: Mapping[str, Any] = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"], "format": "date-time"}
TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
OBJECT: Mapping[str, Any] = {"type": "object"}
OBJECTS: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}


def declare(
    name: str,
    *,
    doc: str,
    permission: str = "",
    kind: str = FACT,
    fields: Mapping[str, Mapping[str, Any]] | None = None,
) -> Declaration:
    """Put an event into the catalogue; call it from the app's `events.py`."""
    return catalogue.register(name, Declaration(name, kind, doc, permission, fields or {}))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether an event name matches one of the patterns ("task.completed", "task.*", "*")."""
    return any(pattern == "*" or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def known_pattern(pattern: str) -> bool:
    """Return whether a pattern matches at least one event of the catalogue; "*" always does."""
    return pattern == "*" or any(fnmatch.fnmatchcase(name, pattern) for name in catalogue)
