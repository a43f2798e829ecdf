"""What time it is, whatever this machine's clock says."""

import time
from collections.abc import Callable
from pathlib import Path

#: A clock that is off by less is right: the network's delay lies in that.
TOLERATED_S = 2.0


def steady_seconds() -> float:
    """Return seconds since the start of the machine, sleep included; no change of the clock moves them."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic()


def boot_name() -> str:
    """Return what names this run of the machine's kernel; `steady_seconds` of another one mean nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(time.time() - steady_seconds(), -1))


def iso_of(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC, to the millisecond."""
    whole, part = divmod(round(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03d}Z"


class Clock:
    """Knows how far this machine's clock is off, from the times that the platform tells."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_seconds) -> None:
        self.wall, self.steady = wall, steady
        self._base: float | None = None  # the platform's time when `steady` was 0

    def learn(self, platform_time: float) -> None:
        """Take the platform's time of just now."""
        self._base = platform_time - self.steady()

    @property
    def is_known(self) -> bool:
        """Return whether the platform has told its time."""
        return self._base is not None

    def shift_ms(self, *, wall: float | None = None, steady: float | None = None) -> int | None:
        """Return the milliseconds to add to this machine's clock; 0 where it is right, None while that is not known.

        Args:
            wall, steady: what both clocks said at some moment since the machine's start; now where not given.
        """
        if self._base is None:
            return None
        at = self.steady() if steady is None else steady
        off = self._base + at - (self.wall() if wall is None else wall)
        return 0 if abs(off) < TOLERATED_S else round(off * 1000)

    def now(self) -> float:
        """Return the epoch seconds of now, corrected."""
        return self.wall() + (self.shift_ms() or 0) / 1000
