"""Events of the app, split by thing."""

from apps.monitors.events import endpoints, heartbeats

__all__ = ["endpoints", "heartbeats"]
