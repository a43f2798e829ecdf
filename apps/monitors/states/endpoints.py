"""States of an endpoint monitor.

A check flips the status at once; the alert waits for the thresholds (see `services.endpoint_results`). `unknown` is an
honest third value: not checked yet, or the platform itself could not check.
"""

from apps.core.states import Transitions

UNKNOWN = "unknown"
UP = "up"
DEGRADED = "degraded"
DOWN = "down"
PAUSED = "paused"

#: What a check can find.
CHECKED = (UNKNOWN, UP, DEGRADED, DOWN)
STATUSES = (*CHECKED, PAUSED)

ENDPOINT = Transitions(
    "endpoint",
    {
        UNKNOWN: {*CHECKED, PAUSED},
        UP: {*CHECKED, PAUSED},
        DEGRADED: {*CHECKED, PAUSED},
        DOWN: {*CHECKED, PAUSED},
        PAUSED: {UNKNOWN},
    },
)

#: How a result is kept in the telemetry tables.
CODES = {UNKNOWN: 0, UP: 1, DEGRADED: 2, DOWN: 3}
NAMES = {code: name for name, code in CODES.items()}
