"""The sweep over heartbeats whose time has come."""

import time

from django.utils import timezone

from apps.core.pulse import sweep
from apps.monitors.services.heartbeat_sweep import expire_due, may_judge

SWEEP_S = 0.8


@sweep("monitors.heartbeats", every_s=1, shared=True)
def sweep_heartbeats() -> None:
    """Apply what has fallen due, batch by batch, for at most 0.8 s; the rest keeps its place for the next turn."""
    if not may_judge(now=timezone.now()):
        return
    end = time.monotonic() + SWEEP_S
    while expire_due(now=timezone.now()) and time.monotonic() < end:
        pass
