"""Settings of host agents."""

from apps.core.runtime_settings import declare

DAY_S = 86_400

declare(
    "agents",
    "certificate_life",
    "duration",
    7 * DAY_S,
    "How long an agent's certificate counts; the agent renews it in the last third.",
    least=3600,
    most=90 * DAY_S,
)
declare(
    "agents",
    "return_within",
    "duration",
    30 * DAY_S,
    "For how long after its certificate has ended an approved host is let in again by its key alone; after that "
    "somebody approves it anew. 0: somebody always does.",
    least=0,
    most=365 * DAY_S,
)
declare(
    "agents",
    "waiting_keep",
    "duration",
    7 * DAY_S,
    "How long a host waits for approval before its request ends.",
    least=3600,
    most=90 * DAY_S,
)
declare(
    "retention",
    "enrolments",
    "duration",
    90 * DAY_S,
    "How long decided enrolment requests and certificates that have ended are kept.",
    least=DAY_S,
    most=3650 * DAY_S,
)
declare(
    "limits", "enrolment_per_minute", "int", 300, "Enrolment calls a minute for an address.", least=1, most=1_000_000
)
