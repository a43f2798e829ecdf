"""Models of the app."""

from apps.monitors.models.endpoints import Endpoint, EndpointState
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, HeartbeatState, Ping, Run
from apps.monitors.models.results import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    DroppedSeries,
)

__all__ = [
    "CheckResult",
    "CheckRollup1d",
    "CheckRollup1h",
    "CheckRollup5m",
    "DirtyBucket",
    "DroppedSeries",
    "Endpoint",
    "EndpointState",
    "Heartbeat",
    "HeartbeatDay",
    "HeartbeatState",
    "Ping",
    "Run",
]
