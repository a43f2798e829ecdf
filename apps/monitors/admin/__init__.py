"""Monitors in the console."""

from apps.monitors.admin import (
    certificates,
    dependencies,
    endpoints,
    heartbeats,
    imports,
    maintenance,
    overview,
    ping_keys,
)

__all__ = ["certificates", "dependencies", "endpoints", "heartbeats", "imports", "maintenance", "overview", "ping_keys"]
