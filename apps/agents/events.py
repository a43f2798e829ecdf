"""What happens to agents."""

from apps.core.events import declare
from apps.core.events.catalogue import BOOLEAN, ID, ID_OR_NULL, INTEGER, TEXT, TIME, TIME_OR_NULL

_AGENT = {"agent_id": TEXT, "server_id": ID, "name": TEXT, "hostname": TEXT}
for _name, _doc in (
    ("created", "A host agent was added by hand; its host has yet to ask."),
    ("updated", "A host agent was changed."),
    ("deleted", "A host agent was removed; its server and what it measured stay."),
):
    declare(f"agent.{_name}", doc=_doc, permission="agents:view", fields=_AGENT)
declare(
    "agent.enrolled",
    doc="A host was let in: a certificate was signed for the key it holds.",
    permission="agents:view",
    fields={**_AGENT, "fingerprint": TEXT, "serial": TEXT, "not_after": TIME, "how": TEXT},
)
declare(
    "agent.certificate_renewed",
    doc="An agent has a new certificate for the key it was approved with.",
    permission="agents:view",
    fields={**_AGENT, "serial": TEXT, "not_after": TIME},
)
declare(
    "agent.revoked",
    doc="An agent is trusted no more: its certificates count no longer and its connection is cut.",
    permission="agents:view",
    fields={**_AGENT, "fingerprint": TEXT, "reason": TEXT},
)
_REQUEST = {
    "request_id": ID,
    "agent_id": {"type": ["string", "null"]},
    "server_id": ID_OR_NULL,
    "name": TEXT,
    "hostname": TEXT,
    "fingerprint": TEXT,
    "address": TEXT,
}
declare("agent.pending", doc="A host asks to be let in.", permission="agents:manage", fields=_REQUEST)
declare("agent.approved", doc="Somebody let a host in.", permission="agents:manage", fields={**_REQUEST, "by": TEXT})
declare(
    "agent.rejected",
    doc="Somebody refused a host.",
    permission="agents:manage",
    fields={**_REQUEST, "by": TEXT, "reason": TEXT},
)
declare(
    "agent.status",
    doc="The status of an agent changed.",
    permission="agents:view",
    fields={"agent_id": TEXT, "server_id": ID_OR_NULL, "name": TEXT, "kind": TEXT, "status": TEXT, "former": TEXT},
)
_WORKER = {**_AGENT, "last_seen": TIME_OR_NULL}
declare("worker.online", doc="A host's agent is there.", permission="agents:view", fields=_WORKER)
declare("worker.offline", doc="A host's agent has been silent for too long.", permission="agents:view", fields=_WORKER)
_TOKEN = {"token_id": ID, "name": TEXT, "hint": TEXT}
declare(
    "enrolment_token.created",
    doc="An enrolment token was made.",
    permission="agents:manage",
    fields={**_TOKEN, "expires_at": TIME, "max_uses": INTEGER, "pre_approved": BOOLEAN, "agent_id": TEXT},
)
declare("enrolment_token.deleted", doc="An enrolment token was removed.", permission="agents:manage", fields=_TOKEN)
