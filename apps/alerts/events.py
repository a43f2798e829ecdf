"""Events of the alerts. People are told of these unless a rule names others."""

from apps.core.events.catalogue import ID, ID_OR_NULL, NUMBER_OR_NULL, TEXT, TEXT_OR_NULL, TIME, TIME_OR_NULL, declare

ALERT_FIELDS = {
    "alert_id": ID,
    "type": TEXT,
    "source": TEXT,
    "subject_kind": TEXT,
    "subject_id": TEXT,
    "subject_name": TEXT,
    "server_id": ID_OR_NULL,
    "level": TEXT,
    "status": TEXT,
    "message": TEXT,
    "value": NUMBER_OR_NULL,
    "threshold": NUMBER_OR_NULL,
    "opened_at": TIME,
    "resolved_at": TIME_OR_NULL,
    "note": TEXT_OR_NULL,
    "by": TEXT_OR_NULL,
}

for _name, _doc in (
    ("alert.opened", "Something went wrong and an alert was opened."),
    ("alert.escalated", "An open alert got worse."),
    ("alert.acknowledged", "Somebody takes care of an alert."),
    ("alert.silenced", "An alert was silenced: it is kept and shown, nothing is sent."),
    ("alert.resolved", "An alert recovered by itself or was resolved by hand."),
):
    declare(_name, doc=_doc, permission="alerts:view", fields=ALERT_FIELDS)

_THRESHOLD = {"threshold_id": ID, "metric": TEXT, "level": TEXT, "server_id": ID_OR_NULL}
declare("threshold.created", doc="A threshold was added.", permission="thresholds:view", fields=_THRESHOLD)
declare("threshold.updated", doc="A threshold was changed.", permission="thresholds:view", fields=_THRESHOLD)
declare("threshold.deleted", doc="A threshold was removed.", permission="thresholds:view", fields=_THRESHOLD)
