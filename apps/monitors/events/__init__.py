"""Events of the app, split by thing."""

from apps.monitors.events import certificates, dependencies, endpoints, heartbeats, maintenance

__all__ = ["certificates", "dependencies", "endpoints", "heartbeats", "maintenance"]
