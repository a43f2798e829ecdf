"""Events of heartbeats."""

from apps.core.events.catalogue import ID, INTEGER, INTEGER_OR_NULL, LIVE, NUMBER, TEXT, TIME, TIME_OR_NULL, declare

_HEARTBEAT = {"heartbeat_id": ID, "name": TEXT}

for _verb, _doc in (
    ("created", "A heartbeat was added."),
    ("updated", "A heartbeat's name, schedule or tags were changed."),
    ("deleted", "A heartbeat was removed."),
    ("paused", "A heartbeat was paused: nobody waits for its pings."),
    ("resumed", "A heartbeat was resumed, with a fresh deadline."),
):
    declare(f"heartbeat.{_verb}", doc=_doc, permission="heartbeats:view", fields=_HEARTBEAT)

declare(
    "heartbeat.deadline_missed",
    doc="A job did not report by its deadline, or a run is over its time limit. The message explains the times.",
    permission="heartbeats:view",
    fields={**_HEARTBEAT, "due_at": TIME, "grace_seconds": INTEGER, "last_ping_at": TIME_OR_NULL, "message": TEXT},
)
declare(
    "heartbeat.failed",
    doc="A job that was fine reported a failure.",
    permission="heartbeats:view",
    fields={**_HEARTBEAT, "exit_code": INTEGER_OR_NULL, "message": TEXT},
)
declare(
    "heartbeat.recovered",
    doc="A job that was down reported a success.",
    permission="heartbeats:view",
    fields={**_HEARTBEAT, "downtime_s": NUMBER},
)
declare(
    "heartbeat.pinged",
    doc="A ping was accepted; of many for one heartbeat in one moment, the last.",
    permission="heartbeats:view",
    kind=LIVE,
    fields={**_HEARTBEAT, "kind": TEXT, "exit_code": INTEGER_OR_NULL, "at": TIME, "status": TEXT},
)

for _verb, _doc in (
    ("created", "A ping key was added."),
    ("updated", "A ping key's name, limit or defaults were changed."),
    ("renewed", "A ping key got another secret."),
    ("deleted", "A ping key was removed."),
):
    declare(f"ping_key.{_verb}", doc=_doc, permission="ping_keys:view", fields={"ping_key_id": ID, "name": TEXT})

for _verb, _doc in (("created", "A public badge was made."), ("deleted", "A public badge was revoked.")):
    declare(
        f"badge.{_verb}",
        doc=_doc,
        permission="badges:view",
        fields={"badge_id": ID, "kind": TEXT, "subject_id": TEXT},
    )
