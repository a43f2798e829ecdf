"""Events of the core itself."""

from apps.core.events.catalogue import OBJECT, TEXT, declare

declare(
    "system.alert",
    doc="Something is wrong with the platform itself: a reader stumbles, a monitor is silent, the disk fills.",
    permission="dashboard:view",
    fields={"title": TEXT, "message": TEXT, "level": TEXT},
)
declare(
    "setting.changed",
    doc="A runtime setting was changed.",
    permission="settings:view",
    fields={"setting": TEXT, "value": {}},
)
declare(
    "audit.exported",
    doc="Somebody exported the audit trail.",
    permission="audit:view",
    fields={"format": TEXT, "filters": OBJECT},
)
