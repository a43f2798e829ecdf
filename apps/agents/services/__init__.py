"""All that changes agents."""

from apps.agents.services.authority import prove, renew
from apps.agents.services.enrolment import (
    Enrolled,
    approve_request,
    end_stale_requests,
    enroll,
    enrolment_status,
    reject_request,
)
from apps.agents.services.hosts import (
    create_host_agent,
    delete_host_agent,
    make_agent_token,
    revoke_agent,
    update_host_agent,
)
from apps.agents.services.presence import Figures, connected, disconnected, mark_silent_agents, seen
from apps.agents.services.tokens import create_token, delete_token
from apps.agents.services.workers import approve_worker, note_heartbeat, register_worker

__all__ = [
    "Enrolled",
    "Figures",
    "approve_request",
    "approve_worker",
    "connected",
    "create_host_agent",
    "create_token",
    "delete_host_agent",
    "delete_token",
    "disconnected",
    "end_stale_requests",
    "enroll",
    "enrolment_status",
    "make_agent_token",
    "mark_silent_agents",
    "note_heartbeat",
    "prove",
    "register_worker",
    "reject_request",
    "renew",
    "revoke_agent",
    "seen",
    "update_host_agent",
]
