"""Sweeps and periodic tasks of the app, split by thing."""

from apps.monitors.tasks import certificates, connectivity, endpoints, heartbeats, maintenance

__all__ = ["certificates", "connectivity", "endpoints", "heartbeats", "maintenance"]
