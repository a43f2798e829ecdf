"""Events of the alerts. People are told of these unless a rule names others."""

from apps.core.events.catalogue import (
    BOOLEAN,
    ID,
    ID_OR_NULL,
    INTEGER,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    TIME_OR_NULL,
    declare,
)

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
    "told": BOOLEAN,
}

for _name, _doc in (
    ("alert.opened", "An alert opened: people are told at once, or when what kept it from them has ended."),
    ("alert.escalated", "An open alert got worse."),
    ("alert.acknowledged", "Somebody takes care of an alert."),
    ("alert.unacknowledged", "An acknowledgement was taken back or has ended; the alert is everybody's again."),
    ("alert.unsilenced", "A silence or maintenance over a known alert has ended and it still stands; told again."),
    ("alert.resolved", "An alert is resolved: it recovered by itself, or somebody resolved it."),
):
    declare(_name, doc=_doc, permission="alerts:view", fields=ALERT_FIELDS)

_MUTED = {**ALERT_FIELDS, "muted_by": TEXT, "reason": TEXT}
declare(
    "alert.silenced",
    doc="An alert was silenced, by a silence or a maintenance window: it is kept and shown, nothing is sent.",
    permission="alerts:view",
    fields=_MUTED,
)
declare(
    "alert.suppressed",
    doc="An alert is kept and shown, and nobody is told: it follows from another, may follow from one, or flaps.",
    permission="alerts:view",
    fields=_MUTED,
)
_FLAP = {**ALERT_FIELDS, "flips": INTEGER, "since": TIME}
declare(
    "alert.flapping",
    doc="Something changes so often that its changes are no longer told, until it is stable.",
    permission="alerts:view",
    fields=_FLAP,
)
declare(
    "alert.settled",
    doc="What flapped has been well for a while; its changes are told again.",
    permission="alerts:view",
    fields=_FLAP,
)
_SILENCE = {"silence_id": ID, "about": TEXT, "reason": TEXT, "starts_at": TIME, "ends_at": TIME}
declare("silence.created", doc="Alerts that match are silenced.", permission="silences:view", fields=_SILENCE)
declare("silence.cancelled", doc="A silence was ended by hand.", permission="silences:view", fields=_SILENCE)
declare("silence.ended", doc="A silence has come to its end.", permission="silences:view", fields=_SILENCE)

declare(
    "alert.step_reached",
    doc="Nobody reacted to an alert, so the next step of its escalation was told. Sent to that step's channels alone.",
    permission="alerts:view",
    fields={
        **ALERT_FIELDS,
        "policy_id": ID_OR_NULL,
        "policy": TEXT,
        "step": INTEGER,
        "repetition": INTEGER,
        "reason": TEXT,
    },
)
declare(
    "alert.reminded",
    doc="An alert goes on and nobody has acknowledged it. Sent to the channels that know of the alert alone.",
    permission="alerts:view",
    fields={**ALERT_FIELDS, "count": INTEGER, "open_s": NUMBER},
)

_POLICY = {"policy_id": ID, "name": TEXT}
declare(
    "escalation_policy.created", doc="An escalation policy was added.", permission="escalations:view", fields=_POLICY
)
declare(
    "escalation_policy.updated", doc="An escalation policy was changed.", permission="escalations:view", fields=_POLICY
)
declare(
    "escalation_policy.deleted", doc="An escalation policy was removed.", permission="escalations:view", fields=_POLICY
)

_SOURCE = {"alert_source_id": ID, "name": TEXT, "kind": TEXT}
for _name, _doc in (
    ("alert_source.created", "Another system may post its alerts."),
    ("alert_source.updated", "A source of alerts was changed."),
    ("alert_source.token_rotated", "A source of alerts got another token; the old one counts no more."),
    ("alert_source.deleted", "A source of alerts was removed, and what it had opened was resolved."),
):
    declare(_name, doc=_doc, permission="alert_sources:view", fields=_SOURCE)

_THRESHOLD = {"threshold_id": ID, "metric": TEXT, "level": TEXT, "server_id": ID_OR_NULL}
declare("threshold.created", doc="A threshold was added.", permission="thresholds:view", fields=_THRESHOLD)
declare("threshold.updated", doc="A threshold was changed.", permission="thresholds:view", fields=_THRESHOLD)
declare("threshold.deleted", doc="A threshold was removed.", permission="thresholds:view", fields=_THRESHOLD)
