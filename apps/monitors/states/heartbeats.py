"""States of heartbeats and of their runs."""

from apps.core.states import Transitions

NEW = "new"  # no ping yet: nothing is expected
UP = "up"  # the last run was fine and the next is not due
STARTED = "started"  # a run began and has not ended
LATE = "late"  # the due time passed, the grace runs
DOWN = "down"  # the deadline passed, or the last run failed
PAUSED = "paused"  # nobody waits
UNKNOWN = "unknown"  # nobody looked at it in time, or its schedule can't be worked out; `fault` says which

STATUSES = (NEW, UP, STARTED, LATE, DOWN, PAUSED, UNKNOWN)

_LIVE = {UP, STARTED, DOWN, PAUSED}

HEARTBEAT = Transitions(
    "heartbeat",
    {
        NEW: _LIVE,
        UP: _LIVE | {LATE},
        STARTED: _LIVE | {LATE},
        LATE: _LIVE,
        DOWN: _LIVE,
        PAUSED: {NEW, UP, STARTED, DOWN},
        UNKNOWN: _LIVE | {LATE},
    },
)

RUNNING = "running"
SUCCESS = "success"
FAILURE = "failure"
TIMEOUT = "timeout"  # never ended: over its time, or another run began in its place

RUN_RESULTS = (RUNNING, SUCCESS, FAILURE, TIMEOUT)
