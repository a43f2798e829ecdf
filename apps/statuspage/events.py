"""Events of the status pages.

Those that visitors may follow carry `public`: all that leaves the house. It holds public names alone.
"""

from apps.core.events.catalogue import BOOLEAN, ID, OBJECT, TEXT, TIME_OR_NULL, declare

_PAGE = {"page_id": ID, "name": TEXT}

for _thing, _field, _noun in (
    ("page", "page_id", "A status page"),
    ("group", "group_id", "A group of components"),
    ("component", "component_id", "A component of a status page"),
):
    for _verb in ("created", "updated", "deleted"):
        _said = {"created": "was added", "updated": "was changed", "deleted": "was removed"}[_verb]
        declare(
            f"status.{_thing}_{_verb}", doc=f"{_noun} {_said}.", permission="status:view",
            fields={_field: ID, "name": TEXT},
        )  # fmt: skip

_OVERRIDE = {"component_id": ID, "name": TEXT, "status": TEXT, "until": TIME_OR_NULL}
declare(
    "status.component_overridden",
    doc="Somebody set a component's status by hand.",
    permission="status:view",
    fields=_OVERRIDE,
)
declare(
    "status.override_ended",
    doc="A status set by hand ended, by itself or by a person.",
    permission="status:view",
    fields=_OVERRIDE,
)

_NOTICE = {"notice_id": ID, "title": TEXT, "kind": TEXT, "state": TEXT}
for _name, _doc in (
    ("status.notice_drafted", "A notice was written, or drafted from an alert; the public does not see it yet."),
    ("status.notice_changed", "A notice's title, components or times were changed."),
    ("status.notice_deleted", "A notice was removed."),
    ("status.update_edited", "The words of an update were changed; what it said before is kept."),
):
    declare(_name, doc=_doc, permission="status:view", fields=_NOTICE)

_SUBSCRIBER = {"subscriber_id": ID, "address": TEXT}
for _name, _doc in (
    ("status.subscriber_asked", "Somebody asked for mails of a status page; the address waits for its owner's yes."),
    ("status.subscriber_confirmed", "A subscriber of a status page confirmed the address."),
    ("status.subscriber_removed", "A subscriber of a status page left or was removed."),
):
    declare(_name, doc=_doc, permission="status:subscribers", fields=_SUBSCRIBER)

# --- what visitors may follow ------------------------------------------------------------------------------------
declare(
    "status.component_changed",
    doc="A component is shown in another status.",
    permission="status:view",
    fields={"component_id": ID, "page_id": ID, "visible": BOOLEAN, "public": OBJECT},
)
declare(
    "status.global_changed",
    doc="A whole page is shown in another status.",
    permission="status:view",
    fields={**_PAGE, "public": OBJECT},
)
for _name, _doc in (
    ("status.incident_created", "An incident was published."),
    ("status.incident_updated", "Something new was said about a published incident."),
    ("status.incident_resolved", "A published incident was resolved."),
    ("status.maintenance_scheduled", "A maintenance was announced."),
    ("status.maintenance_updated", "Something new was said about an announced maintenance, or it was moved."),
    ("status.maintenance_started", "An announced maintenance began."),
    ("status.maintenance_ended", "An announced maintenance is over."),
):
    declare(_name, doc=_doc, permission="status:view", fields={**_NOTICE, "page_id": ID, "public": OBJECT})

#: What `/status/events` sends, by the name it has there.
STREAMED = {
    f"status.{name}": name
    for name in (
        "component_changed",
        "global_changed",
        "incident_created",
        "incident_updated",
        "incident_resolved",
        "maintenance_started",
        "maintenance_ended",
    )
}
