"""Models of the app."""

from apps.monitors.models.badges import Badge
from apps.monitors.models.certificates import CertificateCheck, CertificateMonitor, CertificateMonitorState
from apps.monitors.models.dependencies import Dependency
from apps.monitors.models.domains import DomainRegistration, RdapDirectory
from apps.monitors.models.endpoints import Endpoint, EndpointState
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, HeartbeatState, HeartbeatWindow, Ping, Run
from apps.monitors.models.maintenance import MaintenanceWindow
from apps.monitors.models.ping_keys import PingKey
from apps.monitors.models.results import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    DroppedSeries,
)

__all__ = [
    "CertificateCheck",
    "CertificateMonitor",
    "CertificateMonitorState",
    "Badge",
    "CheckResult",
    "CheckRollup1d",
    "CheckRollup1h",
    "CheckRollup5m",
    "Dependency",
    "DirtyBucket",
    "DomainRegistration",
    "DroppedSeries",
    "Endpoint",
    "EndpointState",
    "Heartbeat",
    "HeartbeatDay",
    "HeartbeatState",
    "HeartbeatWindow",
    "MaintenanceWindow",
    "Ping",
    "PingKey",
    "RdapDirectory",
    "Run",
]
