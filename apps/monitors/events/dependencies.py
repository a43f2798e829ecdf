"""Events of what depends on what."""

from apps.core.events.catalogue import ID, TEXT, declare

_FIELDS = {"dependency_id": ID, "child_kind": TEXT, "child_id": TEXT, "parent_kind": TEXT, "parent_id": TEXT}
declare(
    "dependency.created",
    doc="Somebody said that a thing depends on another.",
    permission="dependencies:view",
    fields=_FIELDS,
)
declare("dependency.deleted", doc="A dependency was removed.", permission="dependencies:view", fields=_FIELDS)
