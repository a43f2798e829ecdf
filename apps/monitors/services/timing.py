"""When something that is checked at an interval is due next."""

import math
from datetime import UTC, datetime

_GOLDEN = 2_654_435_761  # Knuth's multiplicative hash: neighbouring numbers land far apart
_STEP_S = 0.005  # a check that starts a hair before its point in the grid belongs to that point


def next_on_grid(*, num: int, interval_s: int, after: datetime) -> datetime:
    """Return when a monitor is due next.

    The times form a grid of the interval whose phase is a hash of the number: nothing drifts, however long a check
    takes, and the load is even.
    """
    phase = (num * _GOLDEN % 2**32) / 2**32 * interval_s
    steps = math.floor((after.timestamp() + _STEP_S - phase) / interval_s) + 1
    return datetime.fromtimestamp(phase + steps * interval_s, UTC)
