"""Events of maintenance windows."""

from apps.core.events.catalogue import ID, TEXT, TIME, declare

_WINDOW = {"maintenance_id": ID, "title": TEXT}

for _verb, _doc in (
    ("created", "A maintenance window was added."),
    ("updated", "A maintenance window was changed."),
    ("deleted", "A maintenance window was removed."),
):
    declare(f"maintenance.{_verb}", doc=_doc, permission="maintenance:view", fields=_WINDOW)

declare(
    "maintenance.started",
    doc="A maintenance window opened: failures of its targets count as maintenance until `ends_at`.",
    permission="maintenance:view",
    fields={**_WINDOW, "starts_at": TIME, "ends_at": TIME},
)
declare(
    "maintenance.ended",
    doc="A maintenance window closed, by its time or because somebody ended it; `ends_at` is when.",
    permission="maintenance:view",
    fields={**_WINDOW, "starts_at": TIME, "ends_at": TIME},
)
