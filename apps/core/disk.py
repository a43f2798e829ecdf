"""The disk that holds the data: how full it is, and whether telemetry may still be written."""

import os
import threading
import time
from dataclasses import dataclass

from django.conf import settings

from apps.core import runtime_settings

KEEP_S = 5.0


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes of the file system that holds `DATA_DIR`. `percent` is of what users may fill, as `df` shows it."""

    total: int
    used: int
    free: int
    percent: float


_lock = threading.Lock()
_known: tuple[float, DiskUsage] | None = None


def usage() -> DiskUsage:
    """Return how full the disk is, at most 5 s old."""
    global _known
    known = _known
    if known is None or time.monotonic() - known[0] > KEEP_S:
        with _lock:
            known = (time.monotonic(), _read())
            _known = known
    return known[1]


def _read() -> DiskUsage:
    found = os.statvfs(settings.DATA_DIR)
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    used = total - found.f_bfree * found.f_frsize
    percent = 100.0 * used / (used + free) if used + free else 0.0
    return DiskUsage(total, used, free, round(percent, 2))


def telemetry_allowed() -> bool:
    """Return whether samples, pings' logs and checks' results may be written: the disk is under its limit.

    State (alerts, users, settings) is written on; the rest of the disk is kept for it.
    """
    return usage().percent < float(runtime_settings.get("retention.disk_full_percent"))


def forget() -> None:
    """Drop the kept figure, so that the next call looks again."""
    global _known
    _known = None
