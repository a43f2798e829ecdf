"""Whether this process was too busy to judge others.

A check that timed out while our own loop stood still proves nothing about its target.
"""

import asyncio
import time
from collections import deque

STEP_S = 0.1
KEEP_S = 120.0  # longer than any check


class LoopLag:
    """Measures how late an event loop comes to its work. Start it on the loop; ask it there."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque()  # (when, s late), only what is worth a thought
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = 0.0

    def start(self) -> None:
        """Measure on the running loop; a second call does nothing."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._wait()

    def _wait(self) -> None:
        assert self._loop is not None
        self._next = time.monotonic() + STEP_S
        self._loop.call_later(STEP_S, self._measure)

    def _measure(self) -> None:
        now = time.monotonic()
        self.note(now, now - self._next)
        self._wait()

    def note(self, now: float, late_s: float) -> None:
        """Keep how late the loop was at a time of `time.monotonic`."""
        if late_s > STEP_S:
            self._late.append((now, late_s))
        while self._late and self._late[0][0] < now - KEEP_S:
            self._late.popleft()

    def lost_since(self, since: float) -> float:
        """Return how many seconds the loop lost since a time of `time.monotonic`."""
        return sum(late_s for at, late_s in self._late if at >= since)
