"""Sweeps and periodic tasks of the app, split by thing."""

from apps.monitors.tasks import endpoints, heartbeats

__all__ = ["endpoints", "heartbeats"]
