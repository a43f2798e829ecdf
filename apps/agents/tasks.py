"""What the agents' app does by itself: notice silence, end requests that nobody decides."""

import time

from apps.agents.services.enrolment import end_stale_requests, prune_enrolments
from apps.agents.services.presence import SWEEP_ROWS, mark_silent_agents
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps
from apps.fleet.retention import silent_after_s

_started = time.monotonic()

keeps.register("enrolments", Keep("agents_enrolmentrequest", "retention.enrolments", prune_enrolments))


@sweep("agents.presence", every_s=5)
def notice_silent_agents() -> None:
    """Mark silent agents offline; not in the first moments of a worker, when all of them look silent."""
    if time.monotonic() - _started < silent_after_s():
        return
    while mark_silent_agents() == SWEEP_ROWS:
        pass


@sweep("agents.requests", every_s=60)
def end_stale() -> None:
    """End enrolment requests that nobody decided in time."""
    end_stale_requests()
